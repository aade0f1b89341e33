"""params.yaml of the lessons on pictures."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.base import paths
from pipeline.config.base import Positive, is_section
from pipeline.config.data import BaseAudit, BaseData
from pipeline.config.features import BaseFeatures, Form, Kind, Window
from pipeline.config.load import read
from pipeline.config.project import BaseParams


class Data(BaseData):
    source: Literal["digits", "shapes", "pictures", "sign-mnist", "sign-mnist-kaggle"]


class Audit(BaseAudit):
    min_side: Positive
    """Pixels of the shorter side."""
    max_pixels: Annotated[int, Field(ge=1, le=89_478_485)]
    """Height times width; above the limit here Pillow itself refuses to open a picture."""


class Image(Kind):
    form: ClassVar[Form] = "image"
    size: Positive
    """Pixels of either side: the middle of a picture is cut out and resized."""
    channels: Literal[1, 3]
    """1 for grey, 3 for red, green and blue."""


class Features(BaseFeatures):
    package: ClassVar[str] = "lessons.common.pictures.features"
    decoder: ClassVar[str] = "lessons.common.pictures.decode"
    image: Image


class Params(BaseParams):
    group_name: ClassVar[str] = "picture and its near copies"
    model_pages: ClassVar[bool] = False
    data: Data
    audit: Audit
    features: Features
    window: Window = Window(frames=1, musicnn=1, fbank=1)
    """A model sees all of a picture."""

    @model_validator(mode="before")
    @classmethod
    def _a_picture_is_one_window(cls, raw: Any) -> Any:
        if not (isinstance(raw, dict) and is_section(raw, "training")):
            return raw
        return {**raw, "training": {**ONE_WINDOW, **raw["training"]}}


ONE_WINDOW: dict[str, Any] = {
    "windows_per_clip": 1,
    "augment": {"time_masks": 0, "time_width": 0, "band_masks": 0, "band_width": 0, "gain_db": 0.0},
}
"""The keys of ``training`` that are about windows of sound."""


def load(file: Path = paths.PARAMS) -> Params:
    """As :func:`pipeline.config.load.load`."""
    return read(file, Params)
