"""Which model is delivered: the cheapest to run among those that are not significantly worse than the best on validation.

A few hundred clips do not tell apart models that differ by a few points, and the highest score among many is partly luck.
So a model that costs less to run is preferred until another is shown to be better.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from pipeline.base.text import listed
from pipeline.evaluation import bootstrap, metrics
from pipeline.evaluation.ranking import ranked

BASELINE = "majority"
"""Name of the model that always predicts the most frequent label; it is chosen only where it has the highest score."""
AS_CHEAP = 2.0
"""Costs are times, measured on a machine that may do other things: up to this factor they count as equal, and the score
decides."""
NEAR = 0.1
"""Macro F1 that a model may lack at most: where groups are very few, no difference is significant, however large."""


@dataclass(frozen=True)
class Choice:
    chosen: str
    best: str
    """With the highest validation macro F1."""
    level: list[str]
    """Models that are not significantly worse than the best, the best first."""
    costs: Mapping[str, float]
    """Of all models, in ms for a clip."""

    @property
    def sentence(self) -> str:
        if len(self.level) == 1:
            return f"{self.chosen} was chosen: on validation it is clearly better than all other models."
        costs = listed([f"{key} {self.costs[key]:.3g} ms" for key in self.level])
        told = f"Features and network take for a clip: {costs}."
        if self.chosen == self.best:
            others = listed(self.level[1:])
            return (
                f"{self.chosen} was chosen: it has the highest macro F1 on validation. Not significantly worse there, but "
                f"not much cheaper to run: {others}. {told}"
            )
        return (
            f"{self.chosen} was chosen: on validation it is not significantly worse than {self.best}, which has the highest "
            f"macro F1, and it is the cheapest to run of those of which this is true. {told}"
        )


def choose(
    valid: Mapping[str, pd.DataFrame], costs: Mapping[str, float], models: Mapping[str, str], seed: int
) -> Choice:
    """
    Args:
        valid: out-of-fold predictions of each model for the same clips, as in :mod:`pipeline.evaluation.bootstrap`.
        costs: time for a clip, in ms.
        models: their names in params.yaml.
        seed: of the bootstrap.
    """
    scores = {key: metrics.mean_scores(rows, "valid") for key, rows in valid.items()}
    order = sorted(valid, key=lambda key: ranked(key, scores[key]))
    best, *others = order
    near = [key for key in others if scores[best]["valid_macro_f1"] - scores[key]["valid_macro_f1"] <= NEAR]
    level = [best, *(key for key in near if models[key] != BASELINE and _level(valid[best], valid[key], seed))]
    cheapest = min(costs[key] for key in level)
    chosen = next(key for key in level if costs[key] <= AS_CHEAP * cheapest)
    return Choice(chosen, best, level, costs)


def _level(best: pd.DataFrame, other: pd.DataFrame, seed: int) -> bool:
    """Each pair at its own level of 95 %: a bound for all pairs at once would call more models equal, and choose worse."""
    return not bootstrap.difference(best, other, seed).low > 0
