"""The plan of a sweep: an experiment, the space to search, and the data and code that decide a trial's score."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import config, tracking
from pipeline.base import paths
from pipeline.base.errors import UserError
from pipeline.config.base import ParamsError
from pipeline.config.experiment import Experiment, backbones
from pipeline.config.project import Params
from pipeline.config.sweep import Sweep
from pipeline.data import split
from pipeline.training.recipe import inputs, shared
from pipeline.training.trials import Trial, trials
from pipeline.workflow.cache_key import cache_key


class SweepError(UserError):
    """The sweep cannot run; the message says what to do."""


@dataclass(frozen=True)
class Plan:
    settings: Params
    key: str
    """Of the experiment."""

    def __post_init__(self) -> None:
        config.find_block("experiments", self.settings.experiments, self.key)
        if self.key not in self.settings.sweeps:
            raise ParamsError(
                f"sweeps.{self.key} is not in params.yaml, which has {sorted(self.settings.sweeps)}: add the space to "
                "search (docs/sweeps.md)"
            )
        for name, values in self.sweep.space.items():
            if self.present[name] not in values:
                raise ParamsError(
                    f"sweeps.{self.key}.space.{name} does not contain {self.present[name]!r}, the value of "
                    f"experiments.{self.key}: add it, since trials are compared with it"
                )

    @property
    def experiment(self) -> Experiment:
        return self.settings.experiments[self.key]

    @property
    def sweep(self) -> Sweep:
        return self.settings.sweeps[self.key]

    @property
    def trainings(self) -> list[Trial]:
        """Of each trial of the sweep: one per fold and seed."""
        return [one for one in trials(self.settings, split.read()) if not one.refit]

    @cached_property
    def present(self) -> dict[str, Any]:
        """The values of params.yaml for the keys that the sweep varies."""
        return {name: config.at(self.experiment, name) for name in self.sweep.space}

    @property
    def fixed(self) -> dict[str, Any]:
        """The rest of the experiment, by dotted keys."""
        varied = tuple(f"{key}." for key in self.sweep.space)
        every = tracking.flat(self.experiment.model_dump())
        return {name: value for name, value in every.items() if not f"{name}.".startswith(varied)}

    @property
    def epochs(self) -> int:
        """Of the longest training in the space."""
        return max(experiment.training.epochs for experiment in self._corners())

    def varied(self, values: Mapping[str, Any]) -> Experiment:
        return config.varied(self.experiment, values, f"sweeps.{self.key}.space")

    def study(self) -> str:
        """The study's name, which changes with data, code and params.

        It does not depend on the present values of the varied keys: a sweep can continue after its best values were
        applied.

        Raises:
            SweepError: an input of the experiment is missing.
        """
        self._check_inputs()
        given = shared(self.settings, (paths.CLIPS, paths.SPLIT, paths.FAILED))
        used = [inputs(experiment) for experiment in self._corners()]
        return f"{self.key}-{cache_key(given, self.fixed, self.sweep.space, used)}"

    def split(self) -> pd.DataFrame:
        """Train and valid only: a sweep must not see test."""
        table = split.read()
        return table[table["part"] != "test"]

    def _corners(self) -> list[Experiment]:
        """The experiment, and it with each end of a range and each choice."""
        space = self.sweep.space.items()
        return [self.experiment, *(self.varied({name: value}) for name, values in space for value in values.tried)]

    def _check_inputs(self) -> None:
        needed: dict[Path, str] = {paths.CLIPS: "features", paths.SPLIT: "split"}
        for experiment in self._corners():
            needed |= {paths.FEATURES / kind / "spec.json": "features" for kind in experiment.features}
            needed |= {paths.WEIGHTS / name: f"weights@{name}" for name in backbones(experiment)}
        if missing := {file: stage for file, stage in needed.items() if not file.exists()}:
            stages = " ".join(sorted(set(missing.values())))
            raise SweepError(f"{', '.join(map(str, missing))} is missing: run `dvc repro {stages}` and start again")
        asked, table = self.settings.split, split.read()
        folds = table.loc[(table["part"] == "valid") & (table["test_fold"] == 0), "fold"].nunique()
        tests = table["test_fold"].nunique()
        if asked.folds not in ("auto", folds) or asked.test_folds != tests:
            raise SweepError(
                f"{paths.SPLIT} has {folds} fold(s) and {tests} test fold(s), and params.yaml asks for {asked.folds} and "
                f"{asked.test_folds}: run `dvc repro features split` and start again"
            )
