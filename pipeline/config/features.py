"""Sections `features` and `window`: what is computed of a clip, and how much of it a model sees at once."""

import math
import re
from types import NoneType
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from pipeline.config.base import Positive, Section

Span = tuple[float, float]
"""Start and stop in seconds; the stop may be infinite."""
Form = Literal["columns", "frames", "samples", "image"]
"""Columns of a table, frames by bands, samples of sound, or an image of one size for all clips."""
ALIGNED = ("spectrogram", "wavelet")
"""Kinds of feature with the same frames."""


class Kind(Section):
    """Settings of one kind of feature."""

    form: ClassVar[Form]


class Tabular(Kind):
    form: ClassVar[Form] = "columns"
    n_fft: Annotated[int, Field(ge=64)]
    hop_length: Positive


class Spectrogram(Kind):
    form: ClassVar[Form] = "frames"
    n_fft: Positive
    hop_length: Positive
    bands: Positive
    top_db: Annotated[float, Field(gt=0)]


class Wavelet(Kind):
    form: ClassVar[Form] = "frames"
    hop_length: Positive
    bands: Positive
    bands_per_octave: Positive
    omega0: Annotated[float, Field(ge=5)]
    """Morlet's centre frequency in radians: the envelope's standard deviation is omega0 / (2 pi) periods. Below 5
    a Gaussian alone is no wavelet (Farge 1992)."""
    fmin: Annotated[float, Field(gt=0)]
    top_db: Annotated[float, Field(gt=0)]


class MusicnnInput(Kind):
    """Nothing to choose: the networks were trained on it as it is."""

    form: ClassVar[Form] = "frames"


class Fbank(Kind):
    """Nothing to choose: the Audio Spectrogram Transformer was trained on it as it is."""

    form: ClassVar[Form] = "frames"


class Waveform(Kind):
    form: ClassVar[Form] = "samples"
    sample_rate: Annotated[int, Field(ge=8000, le=48_000)] = 16_000
    """Hz: the rate of the backbones that hear it."""


class Timbre(Kind):
    """Nothing to choose: the out-of-distribution detector takes it, whatever models are trained on."""

    form: ClassVar[Form] = "columns"


class BaseFeatures(Section):
    """A field for each kind of feature; other fields are settings that all kinds share."""

    package: ClassVar[str]
    """Has a module for each kind, with the kind's name."""
    decoder: ClassVar[str]
    """The module whose ``read`` decodes a file."""

    @property
    def possible(self) -> dict[str, type[Kind]]:
        """Every kind, including those that are off."""
        types = {name: _kind(field.annotation) for name, field in type(self).model_fields.items()}
        return {name: kind for name, kind in types.items() if kind}

    @property
    def kinds(self) -> list[str]:
        """The kinds that are computed."""
        return [kind for kind in self.possible if getattr(self, kind) is not None]


def _kind(annotation: Any) -> type[Kind] | None:
    """Of a field ``Kind`` or ``Kind | None``, the kind's class."""
    types = [kind for kind in get_args(annotation) or [annotation] if kind is not NoneType]
    return types[0] if len(types) == 1 and isinstance(types[0], type) and issubclass(types[0], Kind) else None


def spans(excerpt: str, seconds: float) -> list[Span]:
    """What of a clip that lasts so long its features are of; a clip that is hardly longer is read whole."""
    sections, length = _sections(excerpt)
    if sections * length >= seconds:
        return [(0.0, math.inf)]
    starts = [(number + 0.5) * seconds / sections - length / 2 for number in range(sections)]
    return [(start, start + length) for start in starts]


def longest_s(excerpt: str) -> float:
    """Seconds that the features of a clip are of, at most."""
    sections, length = _sections(excerpt)
    return sections * length


def _sections(excerpt: str) -> tuple[int, float]:
    """How many, and the seconds of each.

    Raises:
        ValueError: it is none of the three forms.
    """
    if excerpt == "whole":
        return 1, math.inf
    found = re.fullmatch(r"(?:middle|([1-9]\d*) sections? of) (\d+(?:\.\d+)?) s", excerpt)
    if not found or not float(found[2]):
        raise ValueError(f"{excerpt!r} is not understood: give `whole`, `middle 30 s`, or `3 sections of 10 s`")
    return int(found[1] or 1), float(found[2])


class Features(BaseFeatures):
    package: ClassVar[str] = "pipeline.features"
    decoder: ClassVar[str] = "pipeline.features.sound"
    timbre: ClassVar[Timbre] = Timbre()
    sample_rate: Positive
    tabular: Tabular
    spectrogram: Spectrogram
    wavelet: Wavelet
    musicnn: MusicnnInput | None
    fbank: Fbank | None
    waveform: Waveform | None = None
    """This, musicnn and fbank are null where no experiment needs them: they would cost time and space."""
    excerpt: str
    """What of a clip the features are of: ``whole``, ``middle 30 s``, or ``3 sections of 10 s``, spread over it."""

    @property
    def possible(self) -> dict[str, type[Kind]]:
        return {**super().possible, "timbre": Timbre}

    @field_validator("excerpt")
    @classmethod
    def _understood(cls, text: str) -> str:
        _sections(text)
        return text

    @model_validator(mode="after")
    def _aligned(self) -> Self:
        if self.spectrogram.hop_length != self.wavelet.hop_length:
            raise ValueError("spectrogram.hop_length and wavelet.hop_length must agree: models see both as one window")
        octaves = math.log2(self.sample_rate / 2 / self.wavelet.fmin)
        if self.wavelet.bands > octaves * self.wavelet.bands_per_octave:
            raise ValueError(
                f"wavelet: {self.wavelet.bands} bands at {self.wavelet.bands_per_octave} per octave from "
                f"{self.wavelet.fmin} Hz reach above half the sample rate ({self.sample_rate / 2:.0f} Hz)"
            )
        return self


class Window(Section):
    frames: Positive
    """Frames of one model input; a shorter clip is padded with silence."""
    musicnn: Positive
    """The same for the feature of this name, whose frames are shorter; 187 are the 3 s of its networks' training."""
    fbank: Positive
    """As many as the transformer has positions for, max_length in its config.json; AudioSet's has 1024, 10 s."""
    waveform: Positive = 80_000
    """Samples: 80000 are 5 s at 16 kHz."""

    def of(self, kind: str) -> int:
        return {"musicnn": self.musicnn, "fbank": self.fbank, "waveform": self.waveform}.get(kind, self.frames)
