"""An experiment's trials: one training per fold of the split and seed."""

from dataclasses import dataclass

from pipeline.params import Params


@dataclass(frozen=True)
class Trial:
    fold: int
    seed: int

    @property
    def name(self) -> str:
        """Folder of what it leaves, and its name in MLflow beside other trials."""
        return f"fold{self.fold}-seed{self.seed}"


def trials(settings: Params) -> list[Trial]:
    seeds = settings.seeds or [settings.seed]
    return [Trial(fold, seed) for fold in range(settings.split.folds) for seed in seeds]
