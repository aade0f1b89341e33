"""MLflow: runs, the registry, what a run was made from, and the queue for when a server is away."""

from pipeline.tracking.provenance import dataset, git, is_dirty, lineage
from pipeline.tracking.queue import sync
from pipeline.tracking.runs import EXPERIMENT, KIND, Run, connect, flat, parent, run
from pipeline.tracking.store import TrackingError, uri

__all__ = [
    "EXPERIMENT",
    "KIND",
    "Run",
    "TrackingError",
    "connect",
    "dataset",
    "flat",
    "git",
    "is_dirty",
    "lineage",
    "parent",
    "run",
    "sync",
    "uri",
]
