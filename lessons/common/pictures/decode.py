"""Decodes a picture of any format that Pillow reads to 8-bit red, green and blue, upright."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lessons.common.pictures.config import Features

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


class PictureError(ValueError):
    """The file cannot be used as a picture; the message says why."""


def read(file: Path, settings: Features) -> Image.Image:  # noqa: ARG001 (decoding audio needs them)
    return decode(file)


def decode(file: Path, max_pixels: int | None = None) -> Image.Image:
    """The picture upright, in mode RGB; of an animation the first frame.

    Grey, palette and CMYK are converted, of 16-bit grey the upper 8 bits are used, and transparent pixels become white.

    Args:
        max_pixels: a header that announces more is refused before memory is allocated for them.

    Raises:
        PictureError: the file is no picture, is damaged or cut off, or has too many pixels.
    """
    content = file.read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata, which is not used
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(content))
            if max_pixels is not None and picture.width * picture.height > max_pixels:
                raise PictureError(
                    f"too large: {picture.width} x {picture.height} pixels, at most {max_pixels:,} in all "
                    "(make it smaller, or raise audit.max_pixels)"
                )
            return _on_white(ImageOps.exif_transpose(picture))
    except (MemoryError, PictureError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(f"too large: {error}") from None
    except UnidentifiedImageError:
        raise PictureError("cannot be decoded: not a picture that Pillow reads") from None
    except Exception as error:  # parsers of damaged files raise errors of any type
        raise PictureError(f"cannot be decoded: {error}") from None


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")
    if picture.mode == "F":
        raise PictureError("its pixels are floating-point numbers of unknown range")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")
