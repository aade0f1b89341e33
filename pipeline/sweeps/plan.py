"""What a sweep is about: an experiment, what is tried, and the data and code that decide a trial's score."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import config, paths, tracking
from pipeline.config.base import ParamsError
from pipeline.config.experiment import Experiment, backbones
from pipeline.config.project import Params
from pipeline.config.sweep import Sweep
from pipeline.data import split
from pipeline.errors import UserError
from pipeline.training.recipe import inputs, shared
from pipeline.training.trials import Trial, trials
from pipeline.workflow.cache_key import cache_key


class SweepError(UserError):
    """The sweep cannot go on; the message says what to do."""


@dataclass(frozen=True)
class Plan:
    settings: Params
    key: str
    """Of the experiment."""

    def __post_init__(self) -> None:
        config.find_experiment(self.settings, self.key)
        if self.key not in self.settings.sweeps:
            raise ParamsError(
                f"sweeps.{self.key} is not in params.yaml: say there what to try (README, Sweeps); "
                f"there are {sorted(self.settings.sweeps)}"
            )
        for name, values in self.sweep.space.items():
            if self.present[name] not in values:
                raise ParamsError(
                    f"sweeps.{self.key}.space.{name}: {self.present[name]!r}, which experiments.{self.key} has, is "
                    f"not among what is tried: others are compared with it, so put it there"
                )

    @property
    def experiment(self) -> Experiment:
        return self.settings.experiments[self.key]

    @property
    def sweep(self) -> Sweep:
        return self.settings.sweeps[self.key]

    @property
    def trainings(self) -> list[Trial]:
        """What each trial of the sweep trains: over folds and seeds."""
        return trials(self.settings)

    @cached_property
    def present(self) -> dict[str, Any]:
        """What params.yaml has at the keys that the sweep varies."""
        return {name: config.at(self.experiment, name) for name in self.sweep.space}

    @property
    def fixed(self) -> dict[str, Any]:
        """The rest of the experiment, by dotted keys."""
        varied = tuple(self.sweep.space)
        return {
            name: value
            for name, value in tracking.flat(self.experiment.model_dump()).items()
            if not any(f"{name}.".startswith(f"{key}.") for key in varied)
        }

    @property
    def epochs(self) -> int:
        """Of the longest training that the space allows."""
        return max(experiment.training.epochs for experiment in self._corners())

    def varied(self, values: Mapping[str, Any]) -> Experiment:
        return config.varied(self.experiment, values, f"sweeps.{self.key}.space")

    def study(self) -> str:
        """Name of the study: with other data, code or params it is another one.

        The present values of what is varied are no part of it: a sweep goes on after its find was applied.

        Raises:
            SweepError: what the experiment is trained on is not here.
        """
        self._check_inputs()
        given = shared(self.settings, (paths.CLIPS, paths.SPLIT, paths.FAILED))
        used = [inputs(experiment) for experiment in self._corners()]
        return f"{self.key}-{cache_key(given, self.fixed, self.sweep.space, used)}"

    def split(self) -> pd.DataFrame:
        """Who is in train and in valid. Whoever is in test is not in this table: a sweep chooses."""
        table = split.read()
        return table[table["part"] != "test"]

    def _corners(self) -> list[Experiment]:
        """The experiment, and what it becomes with each end and choice."""
        space = self.sweep.space.items()
        return [
            self.experiment,
            *(self.varied({name: value}) for name, values in space for value in values.tried),
        ]

    def _check_inputs(self) -> None:
        needed: dict[Path, str] = {paths.CLIPS: "features", paths.SPLIT: "split"}
        for experiment in self._corners():
            needed |= {paths.FEATURES / kind / "spec.json": "features" for kind in experiment.features}
            needed |= {paths.WEIGHTS / name: f"weights@{name}" for name in backbones(experiment)}
        missing = {file: stage for file, stage in needed.items() if not file.exists()}
        if missing:
            raise SweepError(
                f"{', '.join(map(str, missing))} is not here: `dvc repro {' '.join(sorted(set(missing.values())))}` "
                f"makes it, then start again"
            )
        folds = split.read()["fold"].nunique()
        if folds != self.settings.split.folds:
            raise SweepError(
                f"{paths.SPLIT} has {folds} fold(s), and params.yaml asks for {self.settings.split.folds}: "
                f"`dvc repro features split`, then start again"
            )
