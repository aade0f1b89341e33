"""Sections `features` and `window`: what is computed of a clip, and how much of it a model sees at once."""

import math
from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from pipeline.config.base import Medium, Positive, Section

FeatureKind = Literal["tabular", "spectrogram", "wavelet", "musicnn", "fbank", "image"]


WINDOWED = ("spectrogram", "wavelet", "musicnn", "fbank")
"""Feature kinds that models see as windows of frames."""


ALIGNED = ("spectrogram", "wavelet")
"""Those of them with the same frames."""


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
