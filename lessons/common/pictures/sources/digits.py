"""scikit-learn's handwritten digits, which come with the package: a substitute for other pictures.

1797 pictures of 8 x 8 pixels by 43 people (E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning Repository). Who wrote
which is not known, so the same writers may be in training and test.
"""

from pathlib import Path

import numpy as np

from lessons.common.pictures import paths
from lessons.common.pictures.config import Data
from lessons.common.pictures.sources.pixels import write
from pipeline.data.sources import Clip

BRIGHTEST = 16


def fetch(staging: Path, cache: Path, settings: Data, seed: int) -> list[Clip]:  # noqa: ARG001
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.round(digits.images * (255 / BRIGHTEST)).astype(np.uint8)
    names = [f"{label}/{number:04}.png" for number, label in enumerate(digits.target)]
    write(staging, names, pixels)
    return [
        Clip(
            path=(paths.IMAGES / name).as_posix(),
            label=name.split("/")[0],
            group=name,
            origin="handwritten digits, a substitute",
            licence="CC BY 4.0",
        )
        for name in names
    ]
