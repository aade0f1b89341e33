"""The choice among the experiments, from what ``evaluate`` left of them, and what each costs to run."""

from collections.abc import Sequence

import pandas as pd

from pipeline.base import paths
from pipeline.config.features import Features, longest_s
from pipeline.config.project import BaseParams
from pipeline.evaluation import metrics
from pipeline.evaluation.choice import Choice, choose
from pipeline.features import cost
from pipeline.reports.entries import Entry


def chosen(settings: BaseParams, entries: Sequence[Entry], table: pd.DataFrame) -> Choice:
    """``table`` has the clips, whose mean length is what costs are for."""
    rows = {one.key: pd.read_parquet(paths.EVALUATION / one.key / "predictions.parquet") for one in entries}
    each = {key: metrics.of_part(own, "valid") for key, own in rows.items()}
    return choose(each, costs(settings, entries, table), {one.key: one.model for one in entries}, settings.seed)


def costs(settings: BaseParams, entries: Sequence[Entry], table: pd.DataFrame) -> dict[str, float]:
    """Time in ms of each for a clip on one thread: its network, and its features, which pictures do not have."""
    needed = {one.key: settings.experiments[one.key].features for one in entries}
    by_kind = dict.fromkeys({kind for kinds in needed.values() for kind in kinds}, 0.0)
    if isinstance(settings.features, Features):
        seconds = min(table["duration_s"].mean(), longest_s(settings.features.excerpt))
        by_kind = {kind: 1000 * cost.seconds_for(settings.features, [kind], seconds) for kind in sorted(by_kind)}
    return {one.key: float(f"{one.network_ms + sum(by_kind[kind] for kind in needed[one.key]):.3g}") for one in entries}
