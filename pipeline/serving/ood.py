"""Out-of-distribution detection: how far a clip lies from the clips that a model was trained on.

The score is the distance to the nearest training clip in the space of 50 features (level, shape of the spectrum, MFCCs, see
:mod:`pipeline.features.timbre`), standardised and decorrelated by the training set's covariance: a
nearest neighbour as in Sun et al. 2022 (Out-of-distribution detection with deep nearest neighbors, arXiv:2204.06507), the
covariance shrunk as in Ledoit and Wolf 2004. All models use these features and not their own embeddings, as that paper does:
for models trained on synthesised scores they flag every recording of GTZAN, embeddings miss some or most (docs/serving.md).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from pipeline.config.features import BaseFeatures
from pipeline.features import extract

Array = np.ndarray[Any, np.dtype[np.float64]]
KIND = "timbre"
"""The kind of feature that it takes."""


def row(sound: Any, features: BaseFeatures) -> Array:
    """(1, columns): of a decoded sound what a detector takes, in the precision of the store."""
    block = extract.of_decoded(sound, [KIND], features)[KIND]
    return np.frombuffer(block.content, extract.spec(KIND, features)["dtype"])[None].astype(np.float64)


@dataclass(frozen=True)
class OodDetector:
    mean: Array
    """(columns,)"""
    whitening: Array
    """(columns, columns): makes the centred training clips uncorrelated, with variance 1."""
    training: Array
    """(clips, columns) of the training set, whitened."""

    @classmethod
    def fit(cls, training: Array) -> Self:
        """For the training set's features, (clips, columns)."""
        # a served model does without scikit-learn
        from sklearn.covariance import ledoit_wolf

        mean, std = training.mean(axis=0), training.std(axis=0)
        std[std == 0] = 1.0
        covariance, _ = ledoit_wolf((training - mean) / std)
        variances, axes = np.linalg.eigh(covariance)
        # a single clip, or many equal ones, have no variance
        whitening = axes / np.sqrt(np.maximum(variances, 1e-12)) / std[:, None]
        return cls(mean, whitening, (training - mean) @ whitening)

    def distances(self, clips: Array) -> Array:
        """From each of (clips, columns) to the nearest training clip: a root mean square over the columns."""
        whitened = (clips - self.mean) @ self.whitening
        return np.array([np.sqrt(((self.training - clip) ** 2).mean(axis=1).min()) for clip in whitened])

    def save(self, file: Path) -> None:
        np.savez(file, mean=self.mean, whitening=self.whitening, training=self.training)

    @classmethod
    def load(cls, file: Path) -> Self:
        with np.load(file) as arrays:  # without pickle
            return cls(arrays["mean"], arrays["whitening"], arrays["training"])
