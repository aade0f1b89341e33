"""Decode a picture: any format that Pillow reads, to 8-bit red, green and blue as an eye would see it."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


class PictureError(ValueError):
    """The file is no picture that can be used; the message says why."""


def decode(file: Path, max_pixels: int | None = None) -> Image.Image:
    """The picture upright, in mode RGB; of an animation the first.

    Grey, palette and CMYK are converted, 16-bit grey keeps its upper 8 bits, and what is transparent stands on white.

    Args:
        max_pixels: a header that announces more is refused before memory is set aside for them.

    Raises:
        PictureError: the file is no picture, is damaged or cut off, or has too many pixels.
    """
    content = file.read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, which is not used
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
        raise PictureError("cannot be decoded: no picture that Pillow reads") from None
    except Exception as error:  # a damaged file can raise whatever the parser of its format stumbles over
        raise PictureError(f"cannot be decoded: {error}") from None


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")
    if picture.mode == "F":
        raise PictureError("its pixels are floating-point numbers, whose range it does not say")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")
