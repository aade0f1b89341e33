"""All of params.yaml."""

from collections.abc import Collection
from itertools import combinations
from typing import Annotated, Any, ClassVar, Self

from pydantic import AliasPath, BeforeValidator, Field, model_validator

from pipeline.base import paths
from pipeline.config.base import Fraction, Section, Seed, did_you_mean
from pipeline.config.data import Audit, BaseAudit, BaseData, Data, Split
from pipeline.config.experiment import Experiment, backbones, inheriting, varied
from pipeline.config.features import BaseFeatures, Features, Window
from pipeline.config.models import Weights
from pipeline.config.sweep import Sweep, spaces


class Tracking(Section):
    experiment: Annotated[str, Field(min_length=1)]
    """Name of the MLflow experiment that the runs belong to."""


class Champion(Section):
    """The model in use: the registered version with the alias ``champion``."""

    name: Annotated[str, Field(min_length=1)]
    """Of the registered model in MLflow."""
    min_valid_macro_f1: Fraction
    """The promotion gate refuses a model with a lower validation macro F1."""
    precision: Annotated[float, Field(gt=0, le=1)]
    """Share of confident predictions that must be right on the validation set; it sets the confidence threshold."""
    in_distribution: Annotated[float, Field(gt=0, le=1)]
    """Share of validation clips within the OOD threshold."""
    segment_seconds: Annotated[float, Field(gt=0)]
    """Longer songs are cut into segments of about this length, or of that of the longest clip if it is shorter."""


class BaseParams(Section):
    """What any pipeline of this kind needs; the lessons on pictures have a subclass too."""

    group_name: ClassVar[str]
    """What the clips of one group have in common, for reports."""
    model_pages: ClassVar[bool]
    """Whether the stage `explain` makes a page for each experiment."""
    seed: Seed
    """Every random choice follows from it."""
    seeds: list[Seed]
    """Each experiment is trained once with each of these; none: once, with ``seed``."""
    data: BaseData
    audit: BaseAudit
    split: Split
    features: BaseFeatures
    window: Window
    weights: dict[str, Weights]
    tracking: Tracking
    training: dict[str, Any]
    """Defaults of every experiment's ``training``; an experiment's own keys win."""
    leak: list[str]
    """Experiments that are also trained with the groups ignored, to show what they would have claimed."""
    experiments: Annotated[dict[str, Experiment], Field(min_length=1)]
    sweeps: Annotated[dict[str, Sweep], BeforeValidator(spaces)] = Field(default_factory=dict)
    """By experiment: what `soundtrack sweep` tries."""
    storage: Annotated[str, Field(pattern=r"^\w[\w+]*://")] | None = Field(
        None, validation_alias=AliasPath("sweeps", "storage")
    )
    """URL of a database for the trials of many machines, in place of a file in the checkout. Optuna's name for it."""

    @model_validator(mode="before")
    @classmethod
    def _experiments_inherit_training(cls, raw: Any) -> Any:
        return inheriting(raw)

    @model_validator(mode="after")
    def _experiments_are_possible(self) -> Self:
        for key, experiment in self.experiments.items():
            self.check_experiment(f"experiments.{key}", experiment)
        return self

    def check_experiment(self, place: str, experiment: Experiment) -> None:
        """
        Raises:
            ValueError: its features or weights are not there, or its model does not take such features.
        """
        known = self.features.possible
        for kind in experiment.features:
            if kind not in known:
                close = did_you_mean(kind, list(known))
                raise ValueError(f"{place}.features: there is no {kind!r}, only {list(known)}{close}")
            if kind not in self.features.kinds:
                raise ValueError(f"{place}.features: {kind!r} is off; to turn it on, set features.{kind} to {{}}")
        try:
            experiment.model.check_inputs(experiment.features, {kind: own.form for kind, own in known.items()})
        except ValueError as error:
            raise ValueError(f"{place}.features: {error}") from None
        for name in backbones(experiment):
            _check_among(f"{place}.model.backbone", name, "weights", self.weights)

    @model_validator(mode="after")
    def _leaks_are_experiments(self) -> Self:
        for key in self.leak:
            self.check_has("leak", key)
        if paths.LEAK.name in self.experiments:
            raise ValueError(f"experiments: {paths.LEAK.name!r} is taken: it is the folder beside the experiments'")
        return self

    def check_has(self, place: str, key: str) -> None:
        _check_among(place, key, "experiments", self.experiments)

    @model_validator(mode="after")
    def _sweeps_try_what_is_possible(self) -> Self:
        for key, sweep in self.sweeps.items():
            self.check_has("sweeps", key)
            own = self.experiments[key]
            single = [(name, value) for name, values in sweep.space.items() for value in values.tried]
            pairs = [(one, other) for one, other in combinations(single, 2) if one[0] != other[0]]
            # pairs find all values that exclude each other: no check above is about more than two keys
            for some in [*((one,) for one in single), *pairs]:
                place = f"sweeps.{key}.space: " + ", ".join(f"{name} = {value!r}" for name, value in some)
                tried = varied(own, dict(some), place)
                self.check_experiment(place, tried)
        return self


def _check_among(place: str, name: str, what: str, names: Collection[str]) -> None:
    if name not in names:
        raise ValueError(f"{place}: {name!r} is not among the {what} {sorted(names)}{did_you_mean(name, list(names))}")


class Params(BaseParams):
    group_name: ClassVar[str] = "artist, recording or piece"
    model_pages: ClassVar[bool] = True
    data: Data
    audit: Audit
    features: Features
    champion: Champion

    @model_validator(mode="after")
    def _segments_are_clips(self) -> Self:
        if self.champion.segment_seconds < self.audit.min_seconds:
            raise ValueError("champion.segment_seconds must be at least audit.min_seconds: shorter clips are rejected")
        return self
