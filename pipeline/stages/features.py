"""Compute the features of every good clip, into a packed store for each kind."""

from pipeline import config
from pipeline.features import extract
from pipeline.parallel import workers
from pipeline.stages import main


def features() -> None:
    settings = config.load().features
    with workers(*extract.modules(settings)) as pool:
        # pandas is imported while the workers import librosa, which takes longer
        from pipeline.features.compute import compute

        compute(settings, pool)


if __name__ == "__main__":
    main(features)
