"""Writes arrays of pixels as files, for sources that have no picture files."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from lessons.common.pictures.decode import Pixels


def write(folder: Path, names: Sequence[str], pictures: Pixels) -> None:
    """PNG files, from (pictures, height, width) for grey or (pictures, height, width, 3)."""
    for name, pixels in zip(names, pictures, strict=True):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file, compress_level=1)
