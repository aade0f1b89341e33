"""MLflow: runs, the registry, what a run was made from, and the queue for when a server is away."""

from pipeline.tracking.provenance import git, is_dirty, lineage
from pipeline.tracking.runs import Run, connect, flat, run
from pipeline.tracking.store import TrackingError, sync, uri

__all__ = ["Run", "TrackingError", "connect", "flat", "git", "is_dirty", "lineage", "run", "sync", "uri"]
