"""What leaking groups would claim, as a run of its own in MLflow."""

from collections.abc import Mapping
from typing import Any

from pipeline import tracking
from pipeline.config.project import BaseParams
from pipeline.data.split import LEAKY
from pipeline.tracking import run_logging


def log_leak(settings: BaseParams, key: str, found: Mapping[str, Any]) -> None:
    """A run below the one of all leaks, whose metrics have names that no table of models mistakes for scores."""
    above = tracking.parent(
        settings.tracking.experiment,
        "leak",
        "What experiments would claim if clips of one group were in several parts.",
    )
    about = f"Experiment `{key}`, trained with each group in one part (grouped) and clip by clip (random)."
    with run_logging.open_run(settings, f"leak {key}", "leak", about, parent=above) as run:
        run.set_tags({"leaky": f"the random score: {LEAKY['random']}"})
        run.log_params({"experiment": key, "folds": found["folds"]})
        for name in ("grouped", "random", "gap"):
            ends = {"value": "macro_f1", "low": "macro_f1_low", "high": "macro_f1_high"}
            run.log_metrics({f"leak/{name}_{end}": found[name][part] for part, end in ends.items()})
