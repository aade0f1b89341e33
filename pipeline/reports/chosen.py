"""The choice among the experiments, from what ``evaluate`` left of them, and what each costs to run."""

from collections.abc import Sequence

import pandas as pd

from pipeline.base import paths
from pipeline.base.files import read_json
from pipeline.config.project import BaseParams
from pipeline.evaluation import metrics
from pipeline.evaluation.choice import Choice, choose
from pipeline.reports.entries import Entry


def chosen(settings: BaseParams, entries: Sequence[Entry]) -> Choice:
    rows = {one.key: pd.read_parquet(paths.EVALUATION / one.key / "predictions.parquet") for one in entries}
    each = {key: metrics.of_part(own, "valid") for key, own in rows.items()}
    return choose(each, costs(settings, entries), {one.key: one.model for one in entries}, settings.seed)


def costs(settings: BaseParams, entries: Sequence[Entry]) -> dict[str, float]:
    """Time in ms of each for a clip on one thread: its network, and its features, which pictures do not have."""
    by_kind = read_json(paths.FEATURE_COST) if paths.FEATURE_COST.exists() else {}
    needed = {one.key: [by_kind.get(kind, 0.0) for kind in settings.experiments[one.key].features] for one in entries}
    return {one.key: float(f"{one.network_ms + sum(needed[one.key]):.3g}") for one in entries}
