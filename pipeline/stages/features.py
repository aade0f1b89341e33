"""Compute the features of every good clip, into a packed store for each kind."""

from pipeline.base.parallel import workers
from pipeline.config.project import BaseParams
from pipeline.features import extract


def features(settings: BaseParams) -> str:
    with workers(*extract.modules(settings.features)) as pool:
        # pandas is imported while the workers import librosa, which takes longer
        from pipeline.features.compute import compute

        return compute(settings.features, pool)
