"""The results of a sweep: its best trial beside the present params."""

from dataclasses import dataclass
from typing import Any, Self

import pandas as pd

from pipeline.sweeps.plan import Plan
from pipeline.sweeps.study import Outcome


@dataclass(frozen=True)
class Results:
    outcomes: list[Outcome]
    present: Outcome
    """The trial with the values of params.yaml."""
    best: Outcome

    @classmethod
    def of(cls, plan: Plan, outcomes: list[Outcome]) -> Self:
        complete = [one for one in outcomes if one.scores]
        present = next(one for one in complete if one.values == plan.present)
        return cls(outcomes, present, max(complete, key=lambda one: one.score))

    def count(self, state: str) -> int:
        return sum(one.state == state for one in self.outcomes)

    def table(self) -> pd.DataFrame:
        """A row for each trial: number, state, macro_f1 (NaN unless complete), and the values."""
        rows: list[dict[str, Any]] = [
            {"trial": one.number, "state": one.state, "macro_f1": one.score, **one.values} for one in self.outcomes
        ]
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        failed = f", {self.count('fail')} failed" if self.count("fail") else ""
        counts = (
            f"{len(self.outcomes)} trials: {self.count('complete')} complete, {self.count('pruned')} pruned{failed}."
        )
        if self.best.score <= self.present.score:
            return f"{counts} None beats params.yaml: validation macro F1 {self.present.score:.4f}."
        pairs = list(zip(self.best.scores, self.present.scores, strict=True))
        better = sum(best > present for best, present in pairs)
        changes = [
            f"  {name}: {self.present.values[name]} -> {value}"
            for name, value in self.best.values.items()
            if value != self.present.values[name]
        ]
        return "\n".join(
            [
                f"{counts} Best: trial {self.best.number}, validation macro F1 {self.best.score:.4f} (params.yaml: "
                f"{self.present.score:.4f}). It is better in {better} of {len(pairs)} trainings.",
                *changes,
            ]
        )
