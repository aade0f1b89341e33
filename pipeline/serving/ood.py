"""How far music is from all that a model was trained on: what it never heard, it cannot name.

The distance of a clip is that to its nearest training clip, in the space of the 57 tabular features, standardised and
decorrelated by the training part's covariance (a nearest neighbour as in Sun et al. 2022, Out-of-distribution
detection with deep nearest neighbors, arXiv:2204.06507; the covariance shrunk as in Ledoit and Wolf 2004). The
tabular features serve all models: of the starter's models, which hear synthesised scores, they tell all recordings
of GTZAN, where the means and deviations of spectrogram and scalogram bands tell nine of ten.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

KIND = "tabular"

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Familiarity:
    mean: Array
    """(columns,)"""
    whitening: Array
    """(columns, columns): what makes the training clips, less the mean, uncorrelated and of variance 1."""
    known: Array
    """(clips, columns) of the training part, whitened."""

    @classmethod
    def fitted(cls, training: Array) -> Self:
        """
        Args:
            training: (clips, columns).
        """
        from sklearn.covariance import ledoit_wolf

        mean, std = training.mean(axis=0), training.std(axis=0)
        std[std == 0] = 1.0
        covariance, _ = ledoit_wolf((training - mean) / std)
        variances, axes = np.linalg.eigh(covariance)
        # a single clip, or many equal ones, vary in nothing
        whitening = axes / np.sqrt(np.maximum(variances, 1e-12)) / std[:, None]
        return cls(mean, whitening, (training - mean) @ whitening)

    def distances(self, clips: Array) -> Array:
        """Of each of (clips, columns), to the nearest training clip, as a root mean square over the columns."""
        whitened = (clips - self.mean) @ self.whitening
        return np.array([np.sqrt(((self.known - clip) ** 2).mean(axis=1).min()) for clip in whitened])

    def save(self, file: Path) -> None:
        np.savez(file, mean=self.mean, whitening=self.whitening, known=self.known)

    @classmethod
    def load(cls, file: Path) -> Self:
        with np.load(file) as arrays:  # which unpickles nothing
            return cls(arrays["mean"], arrays["whitening"], arrays["known"])
