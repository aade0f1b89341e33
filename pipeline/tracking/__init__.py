"""MLflow: runs, the registry, what a run was made from, and what waits while a server is away."""

from pipeline.tracking.runs import (
    Run as Run,
)
from pipeline.tracking.runs import (
    TrackingError as TrackingError,
)
from pipeline.tracking.runs import (
    connect as connect,
)
from pipeline.tracking.runs import (
    flat as flat,
)
from pipeline.tracking.runs import (
    git as git,
)
from pipeline.tracking.runs import (
    is_dirty as is_dirty,
)
from pipeline.tracking.runs import (
    lineage as lineage,
)
from pipeline.tracking.runs import (
    run as run,
)
from pipeline.tracking.runs import (
    sync as sync,
)
from pipeline.tracking.runs import (
    uri as uri,
)
