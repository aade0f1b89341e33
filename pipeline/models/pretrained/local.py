"""Weights from a folder on this computer, in transformers' layout."""

import shutil
from pathlib import Path

from pipeline.base.files import sha256
from pipeline.config.models import PathWeights
from pipeline.models.pretrained import PREPROCESSOR, WeightsError

FILES = ("config.json", "model.safetensors")
WANTED = (*FILES, PREPROCESSOR)
"""What is copied, the last where it is there."""
UNREAD = {".bin", ".ckpt", ".h5", ".keras", ".pickle", ".pkl", ".pt", ".pth"}
"""Suffixes of weights in formats that are not read: most are pickles, which can run any code when loaded."""


def fetch(settings: PathWeights, folder: Path) -> str:
    """Copy the weights into ``folder``; returns the body of SOURCE.md.

    Raises:
        WeightsError: a file is missing, or the weights are in another format than safetensors.
    """
    origin = Path(settings.path).expanduser()
    if not origin.is_dir():
        raise WeightsError(f"{origin} is not a folder: it must hold {' and '.join(FILES)}")
    copy(origin, folder, str(origin))
    return (
        f"From: the folder {settings.path}\n"
        f"sha256 of model.safetensors: {sha256(folder / 'model.safetensors')}\n"
        "Licence: that of the weights in this folder\n"
    )


def copy(origin: Path, folder: Path, title: str) -> None:
    """Copy what is wanted; ``title`` is how messages call ``origin``."""
    missing = [name for name in FILES if not (origin / name).is_file()]
    if missing:
        raise WeightsError(f"{title} has no {' and no '.join(missing)}{_instead(origin)}")
    for name in WANTED:
        if (origin / name).is_file():
            shutil.copyfile(origin / name, folder / name)


def _instead(origin: Path) -> str:
    unread = sorted(file.name for file in origin.iterdir() if file.suffix in UNREAD)
    found = f"; {', '.join(unread)} is not read, since a pickle can run any code" if unread else ""
    return (
        f"{found}. Only safetensors in one file is read, no pickle: write the weights with transformers' "
        "save_pretrained, in one shard"
    )
