"""What a prediction depends on, as a page shows it: colours over a spectrogram, with the labels of its frequency axis."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb

from pipeline.evaluation.attribution import GRID, Array, pieces
from pipeline.features import mel
from pipeline.reports.data_figures import indexed_png
from pipeline.reports.figures import OKABE_ITO

GREYS = 16
DARKEST = 0.75
"""Of matplotlib's greys: colours are hard to see on black."""
TINTS = 7
"""Strengths of either colour."""
STRONGEST = 0.75
"""How much of the grey the strongest colour covers."""
RISE, FALL = OKABE_ITO[0], OKABE_ITO[1]
HERTZ = {31.25: "31", 62.5: "63", 125: "125", 250: "250", 500: "500"} | {1000 * n: f"{n}k" for n in (1, 2, 4, 8)}
"""Labels of the frequency axis, where there is room."""
NEAREST = 8.0
"""Percent of the height between two of them."""
QUIETEST = -60.0
"""dB of the lowest level that shows in a waveform's picture."""
LEVELS = 360
"""Pieces of the window in a waveform's picture."""


def window(decibels: Array, falls: Array, limit: float, floor: float) -> bytes:
    """PNG of a window in grey, a pixel for each frame and band, and over it the drops of the probability in colour.

    The louder the darker; time runs to the right, the first band is at the bottom.

    Args:
        decibels: (bands, frames) from ``floor`` to 0, or to its own maximum where that is above.
        falls: (band patches, time patches) from :func:`pipeline.evaluation.attribution.of_patches`.
        limit: the drop of the strongest colour, and the rise of the strongest other colour.
    """
    top = max(0.0, float(decibels.max()))
    greys = np.clip((decibels - floor) / (top - floor) * GREYS, 0, GREYS - 1).astype(np.uint8)
    tints = np.rint(np.clip(falls / limit, -1, 1) * TINTS).astype(np.int64) + TINTS
    patches = np.ix_(*(_patches(length) for length in decibels.shape))
    levels = (tints[patches] * GREYS + greys).astype(np.uint8)
    return indexed_png(levels[::-1], _palette())


def waveform(samples: Array, falls: Array, limit: float) -> bytes:
    """As :func:`window`, of samples (1, samples): the level of each piece, from QUIETEST dB, which is also what is padded."""
    parts = np.array_split(np.where(samples[0] >= -1, samples[0], 0), min(LEVELS, samples.shape[1]))
    power = np.array([np.mean(part**2) for part in parts])
    decibels = np.tile(10 * np.log10(np.maximum(power, 10 ** (QUIETEST / 10))), (GRID, 1))
    return window(decibels, np.tile(falls, (GRID, 1)), limit, QUIETEST)


def hertz(spec: Mapping[str, Any], bands: int) -> list[tuple[float, str]]:
    """Labels of the frequency axis: place in percent of the height from the bottom, and text; none of samples."""
    if spec.get("unit") == "sample":
        return []
    middles = frequencies(spec, bands)
    numbers = np.interp(list(HERTZ), middles, np.arange(bands), left=np.nan, right=np.nan)
    places = 100 * (numbers + 0.5) / bands
    found: list[tuple[float, str]] = []
    room = 100.0
    for place, text in reversed(list(zip(places.tolist(), HERTZ.values(), strict=True))):
        if NEAREST / 2 <= place <= room - NEAREST / 2:
            found.append((place, text))
            room = place - NEAREST / 2
    return found


def frequencies(spec: Mapping[str, Any], bands: int) -> Array:
    """The middle of each band in Hz."""
    if "middles_hz" in spec:
        return np.array(spec["middles_hz"])
    if spec["bands"] == "mel":
        return mel.edges(spec["sample_rate"] / 2, bands)[1:-1]
    settings = spec["params"]
    middles: Array = settings["fmin"] * 2 ** (np.arange(bands) / settings["bands_per_octave"])
    return middles


def _patches(length: int) -> list[int]:
    """The number of the patch that each band or frame is in."""
    return [number for number, piece in enumerate(pieces(length)) for _ in range(piece.start, piece.stop)]


def _palette() -> Any:
    """(colours, 3) bytes: for each tint, from the strongest rise to the strongest fall, all greys."""
    greys = colormaps["Greys"](np.linspace(0, DARKEST, GREYS))[:, :3]
    shares = np.linspace(-1, 1, 2 * TINTS + 1)[:, None, None]
    tints = np.where(shares < 0, to_rgb(RISE), to_rgb(FALL))
    covered = STRONGEST * np.abs(shares)
    return np.rint(255 * ((1 - covered) * greys + covered * tints)).astype(np.uint8).reshape(-1, 3)
