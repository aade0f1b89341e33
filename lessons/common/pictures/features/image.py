"""The pixels of a picture, cut and resized to one size."""

from typing import Any

import numpy as np
from PIL import Image, ImageOps

from lessons.common.pictures.config import Image as Settings

WHITE = 255
"""The store holds pixels as bytes; models get them divided by this, from 0 to 1."""


def describe(settings: Settings) -> dict[str, Any]:
    shape = [settings.channels, settings.size, settings.size]
    return {
        "windowed": False,
        "image": shape,
        "width": int(np.prod(shape)),
        "dtype": "uint8",
        "full_scale": WHITE,
        "unit": "brightness",
    }


def compute(picture: Image.Image, settings: Settings) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(1, channels * size * size): the largest square in the middle, resized, channel after channel."""
    square = ImageOps.fit(picture, (settings.size, settings.size), Image.Resampling.BILINEAR)
    pixels = np.asarray(square.convert("L" if settings.channels == 1 else "RGB"))
    planes = pixels[np.newaxis] if settings.channels == 1 else pixels.transpose(2, 0, 1)
    return planes.reshape(1, -1)
