"""Running median of many rows side by side, which is where a harmonic/percussive split spends its time."""

from typing import Any

import numba
import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]


def running_median(values: Array, width: int) -> Array:
    """Centred median over ``width`` (odd) neighbours along axis 0, as scipy.ndimage.median_filter's ``reflect``."""
    half = width // 2
    padded = np.pad(values, ((half, half), (0, 0)), mode="symmetric")  # numpy's name for scipy's reflect
    return _slide(padded, width)


@numba.njit(cache=True)
def _slide(padded: Array, width: int) -> Array:
    """Each column's window stays sorted as it slides; columns are the lanes that the compiler turns into SIMD.

    A sorted list needs no search when one value leaves and one comes: without the leaving value each place holds itself or
    its right neighbour, and with the new one the middle of left neighbour, new value and itself.
    """
    lanes = 64  # so that the window stays in the nearest cache
    infinity = np.float32(np.inf)
    rows, columns = padded.shape[0] - width + 1, padded.shape[1]
    medians = np.empty((rows, columns), np.float32)
    window = np.empty((width + 1, lanes), np.float32)
    leaving, coming, left = np.empty((3, lanes), np.float32)
    for first in range(0, columns, lanes):
        count = min(lanes, columns - first)
        window[:] = infinity
        for row in range(padded.shape[0]):
            for lane in range(count):
                coming[lane] = padded[row, first + lane]
                leaving[lane] = padded[row - width, first + lane] if row >= width else infinity
                left[lane] = -infinity
            for place in range(width):
                for lane in range(lanes):
                    here = window[place, lane]
                    stays = here if here < leaving[lane] else window[place + 1, lane]
                    lower = stays if stays < coming[lane] else coming[lane]
                    window[place, lane] = lower if lower > left[lane] else left[lane]
                    left[lane] = stays
            if row >= width - 1:
                for lane in range(count):
                    medians[row - width + 1, first + lane] = window[width // 2, lane]
    return medians
