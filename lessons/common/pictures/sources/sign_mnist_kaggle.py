"""Sign Language MNIST from Kaggle, for those who have kagglehub and an account."""

from pathlib import Path

from lessons.common.pictures.config import Data
from lessons.common.pictures.sources import sign_mnist
from pipeline.sources import Clip, SourceError

DATASET = "datamunge/sign-language-mnist"
OTHERWISE = f"or download https://www.kaggle.com/datasets/{DATASET} by hand and set data.source to sign-mnist"


def fetch(staging: Path, cache: Path, settings: Data, seed: int) -> list[Clip]:  # noqa: ARG001
    """A PNG of each row; kagglehub keeps what it downloaded.

    Raises:
        SourceError: kagglehub is missing, or Kaggle does not give the data.
    """
    try:
        import kagglehub
    except ImportError:
        raise SourceError(
            f"data.source sign-mnist-kaggle needs kagglehub: pip install kagglehub, {OTHERWISE}"
        ) from None
    try:
        folder = Path(kagglehub.dataset_download(DATASET))
    except Exception as error:  # of the network, of an account, or of Kaggle: kagglehub has no common one
        raise SourceError(
            f"Kaggle did not give {DATASET} ({error}): log in with kagglehub.login(), {OTHERWISE}"
        ) from None
    return sign_mnist.pictures(folder, staging, f"Kaggle's {DATASET} is not what it was: {OTHERWISE}")
