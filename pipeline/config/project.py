"""The whole of params.yaml."""

from itertools import combinations
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline import paths
from pipeline.config.base import (
    Fraction,
    Medium,
    ParamsError,
    Section,
    Seed,
    did_you_mean,
    is_section,
    merged,
)
from pipeline.config.data import Audit, Data, PictureAudit, PictureData, Split
from pipeline.config.experiment import Experiment, Fusion, backbones, inheriting, varied
from pipeline.config.features import ALIGNED, Features, PictureFeatures, Window, kinds, possible_kinds
from pipeline.config.models import Transfer, Weights
from pipeline.config.sweep import Sweep


class Tracking(Section):
    experiment: Annotated[str, Field(min_length=1)]
    """Name of the MLflow experiment that the runs stand under."""


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


class Params(Section):
    """What is the same for sound and pictures; a file is read as one of the two classes below."""

    medium: Medium
    seed: Seed
    """Every random choice follows from it."""
    seeds: list[Seed]
    """Each experiment is trained once with each of these; none: once, with ``seed``."""
    data: Data | PictureData
    audit: Audit | PictureAudit
    split: Split
    features: Features | PictureFeatures
    window: Window
    weights: dict[str, Weights]
    tracking: Tracking
    training: dict[str, Any]
    """Defaults of every experiment's ``training``; an experiment's own keys win."""
    leak: list[str]
    """Experiments that are also trained with the groups ignored, to show what they would have claimed."""
    experiments: Annotated[dict[str, Experiment], Field(min_length=1)]
    sweeps: dict[str, Sweep] = Field(default_factory=dict)
    """By experiment: what `soundtrack sweep` tries."""

    @model_validator(mode="before")
    @classmethod
    def _experiments_inherit_training(cls, raw: Any) -> Any:
        return inheriting(raw)

    @model_validator(mode="after")
    def _features_are_of_the_medium(self) -> Self:
        for key, experiment in self.experiments.items():
            self._has_features(f"experiments.{key}", experiment)
        return self

    def _has_features(self, place: str, experiment: Experiment) -> None:
        known = possible_kinds(self.features)
        for kind in experiment.features:
            if kind not in known:
                raise ValueError(f"{place}.features: of a {self.medium} there is no {kind!r}, but {known}")
            if kind not in kinds(self.features):
                raise ValueError(
                    f"{place}.features: {kind!r} is off: to turn it on, set features.{kind} to {{}}"
                )

    @model_validator(mode="after")
    def _leaks_are_experiments(self) -> Self:
        for key in self.leak:
            self._has_experiment("leak", key)
        if paths.LEAK.name in self.experiments:
            raise ValueError(
                f"experiments: {paths.LEAK.name!r} is taken: it is the folder beside the experiments'"
            )
        return self

    def _has_experiment(self, place: str, key: str) -> None:
        if key not in self.experiments:
            raise ValueError(
                f"{place}: {key!r} is not among the experiments {sorted(self.experiments)}"
                f"{did_you_mean(key, list(self.experiments))}"
            )

    @model_validator(mode="after")
    def _backbones_have_weights(self) -> Self:
        for key, experiment in self.experiments.items():
            self._has_weights(f"experiments.{key}", experiment)
        return self

    def _has_weights(self, place: str, experiment: Experiment) -> None:
        for name in backbones(experiment):
            if name not in self.weights:
                raise ValueError(
                    f"{place}.model.backbone: {name!r} is not among the weights "
                    f"{sorted(self.weights)}{did_you_mean(name, list(self.weights))}"
                )

    @model_validator(mode="after")
    def _sweeps_try_what_is_possible(self) -> Self:
        for key, sweep in self.sweeps.items():
            self._has_experiment("sweeps", key)
            own = self.experiments[key]
            single = [(name, value) for name, values in sweep.space.items() for value in values.tried]
            pairs = [(one, other) for one, other in combinations(single, 2) if one[0] != other[0]]
            # what cannot stand beside another value is found in pairs: no check above is about more than two keys
            for some in [*((one,) for one in single), *pairs]:
                place = f"sweeps.{key}.space: " + ", ".join(f"{name} = {value!r}" for name, value in some)
                tried = varied(own, dict(some), place)
                self._has_features(place, tried)
                self._has_weights(place, tried)
        return self


class Tutorial(Section):
    """The tutorial's models, with its own settings."""

    training: dict[str, Any] = Field(default_factory=dict)
    """Over the defaults of all experiments."""
    experiments: dict[str, Experiment] = Field(default_factory=dict)
    """By the experiment that each is set beside."""

    @model_validator(mode="before")
    @classmethod
    def _experiments_inherit_training(cls, raw: Any) -> Any:
        return inheriting(raw)


class SoundParams(Params):
    medium: Literal["sound"] = "sound"
    data: Data
    audit: Audit
    features: Features
    champion: Champion
    tutorial: Tutorial = Field(default_factory=Tutorial)

    @model_validator(mode="before")
    @classmethod
    def _the_tutorial_inherits_training(cls, raw: Any) -> Any:
        if not (isinstance(raw, dict) and is_section(raw, "training") and is_section(raw, "tutorial")):
            return raw
        own = raw["tutorial"].get("training") or {}
        if not isinstance(own, dict):
            return raw
        return {**raw, "tutorial": {**raw["tutorial"], "training": merged(raw["training"], own)}}

    @model_validator(mode="after")
    def _the_tutorials_models_have_curves(self) -> Self:
        for key, own in self.tutorial.experiments.items():
            _check_shown(f"tutorial.experiments.{key}", own)
        return self

    def check_tutorial(self) -> None:
        """Only who runs the tutorial needs what its models are made of and set beside.

        Raises:
            ParamsError: one of its models stands beside no experiment, or its weights are not there.
        """
        try:
            for key, own in self.tutorial.experiments.items():
                self._has_experiment("tutorial.experiments", key)
                self._has_weights(f"tutorial.experiments.{key}", own)
        except ValueError as error:
            raise ParamsError(str(error)) from None


def _check_shown(place: str, experiment: Experiment) -> None:
    """The page on the tutorial shows curves, on what its stage depends on."""
    foreign = [kind for kind in experiment.features if kind not in ALIGNED]
    if foreign:
        raise ValueError(
            f"{place}.features: the tutorial works on some of {list(ALIGNED)}, not {foreign[0]!r}"
        )
    model = experiment.model
    closed = isinstance(model, Transfer) and model.closed
    if closed or isinstance(model, Fusion) or experiment.training.members > 1:
        raise ValueError(
            f"{place}: its curves are those of one net trained by epochs: leave out shrinkage, fusion and members"
        )


class PictureParams(Params):
    medium: Literal["picture"]
    data: PictureData
    audit: PictureAudit
    features: PictureFeatures
    window: Window = Window(frames=1, musicnn=1, fbank=1)
    """A picture is seen whole."""

    @model_validator(mode="before")
    @classmethod
    def _a_picture_is_one_window(cls, raw: Any) -> Any:
        if not (isinstance(raw, dict) and is_section(raw, "training")):
            return raw
        return {**raw, "training": {**WHOLE, **raw["training"]}}


WHOLE: dict[str, Any] = {
    "windows_per_clip": 1,
    "augment": {"time_masks": 0, "time_width": 0, "band_masks": 0, "band_width": 0, "gain_db": 0.0},
}
"""What of ``training`` is about windows of sound, for a picture."""
