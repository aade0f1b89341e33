"""A decoded picture, which kinds of feature are computed from."""

from pathlib import Path

from PIL.Image import Image

from pipeline.config.features import PictureFeatures
from pipeline.data.picture import decode


def read(file: Path, settings: PictureFeatures) -> Image:  # noqa: ARG001 (sound needs them)
    return decode(file)
