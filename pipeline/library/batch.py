"""Classify a folder of music song by song; an interrupted run continues where it stopped."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pipeline.base.errors import UserError
from pipeline.data import urls
from pipeline.data.suffixes import NOT_AUDIO
from pipeline.data.urls import Url
from pipeline.serving import isolated
from pipeline.serving.isolated import Prediction
from pipeline.serving.manifest import INTERFACE
from pipeline.tracking.registry import Registered

Place = TypeVar("Place", Path, Url)
SAME = 1e-6
"""Distance to a training clip below which a song is that clip: none, but for rounding."""
NOT_READ = "not read"
"""The verdict on a file without a prediction; the others are the model's."""


@dataclass(frozen=True)
class Song:
    file: Path | Url
    """As found below the folder given."""
    reason: str
    """Why it has no prediction; empty if it has one."""
    guess: str = ""
    """The most probable label."""
    verdict: str = NOT_READ
    distance: float = 0.0
    """OOD score."""
    seconds: float = 0.0
    """Of usable audio."""
    probabilities: dict[str, float] = field(default_factory=dict)
    tags: dict[str, float] = field(default_factory=dict)
    """Of the pre-trained tagger: the strongest moods, voices and instruments, with their probabilities."""
    model: str = ""
    """URI of the model that answered."""

    @property
    def confident(self) -> bool:
        return self.verdict == "confident"

    @property
    def label(self) -> str:
        """The guess; empty unless the verdict is ``confident``."""
        return self.guess if self.confident else ""

    @property
    def confidence(self) -> float | None:
        """The guess's probability."""
        return self.probabilities.get(self.guess)

    @property
    def training_clip(self) -> bool:
        """The model was trained on this very song."""
        return not self.reason and self.distance < SAME

    def at_threshold(self, confidence_threshold: float) -> "Song":
        """The song with the verdict that another confidence threshold gives it."""
        if self.reason or self.verdict == "out-of-distribution":
            return self
        confident = self.probabilities[self.guess] >= confidence_threshold
        return replace(self, verdict="confident" if confident else "uncertain")


def find(folder: Path) -> tuple[list[Path], int]:
    """All files below the folder that may be music, sorted, and how many others there are.

    Symbolic links are followed, but not in circles; hidden files are left out.

    Raises:
        UserError: the folder is missing, or has no music.
    """
    if folder.is_file():
        return [folder], 0
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give one with music in it")
    return _music(sorted(_below(folder, {folder.resolve()})), folder)


def find_at(folder: Url) -> tuple[list[Url], int]:
    """As :func:`find`, at a URL."""
    top = folder.address.rstrip("/")
    versions = sorted(urls.listed(top).items())
    return _music([Url(f"{top}/{name}" if name else top, version) for name, version in versions], folder)


def _music(files: list[Place], folder: Place) -> tuple[list[Place], int]:
    found = [file for file in files if file.suffix.lower() not in NOT_AUDIO]
    if not found:
        raise UserError(f"{folder} and its subfolders have no music")
    return found, len(files) - len(found)


def classify(files: Sequence[Path | Url], model: Registered, folder: Path) -> list[Song]:
    """The model's predictions, in the files' order.

    Args:
        folder: keeps the model's predictions; a file that has one and has not changed since is not classified again.

    Raises:
        UserError: the model fails on every song, for reasons of its own.
    """
    # named after the model and the interface: earlier versions wrote predictions in another form
    digest = hashlib.sha256((model.folder / "MLmodel").read_bytes()).hexdigest()[:16]
    cache_file = folder / f"{digest}.v{INTERFACE.version}.jsonl"
    cached = _read(cache_file)
    missing = [file for file in files if _key(file) not in cached]
    if missing:
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        with cache_file.open("a", encoding="utf-8") as lines:
            lines.write("\n")  # ends a line that a kill cut off
            predictions = isolated.predict(model.bundle, model.code, missing)
            for file, prediction in zip(missing, predictions, strict=True):
                cached[_key(file)] = prediction
                if not {"unexpected", "temporary"} & prediction.keys():  # else it is tried again the next time
                    lines.write(json.dumps({"key": _key(file), **prediction}) + "\n")
                    lines.flush()
    found = [cached[_key(file)] for file in files]
    if all(prediction.get("unexpected") for prediction in found):
        # not the songs' fault: the model cannot be run, as by a user who may not write where it compiles its code
        raise UserError(f"{model.uri} cannot be used here: {found[0]['reason']}")
    return [_song(file, prediction, model.uri) for file, prediction in zip(files, found, strict=True)]


def _below(folder: Path, above: set[Path]) -> Iterator[Path]:
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        return  # no permission, or deleted meanwhile
    for path in inside:
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if (real := path.resolve()) not in above:
                yield from _below(path, above | {real})
        else:
            yield path


def _key(file: Path | Url) -> str:
    """Changes when the file's content does, without reading it."""
    if isinstance(file, Url):
        return f"{file} {file.version}"
    try:
        state = file.stat()
    except OSError:
        return f"{file.absolute()} missing"
    return f"{file.absolute()} {state.st_size} {state.st_mtime_ns}"


def _read(cache_file: Path) -> dict[str, Prediction]:
    """By key, without lines that a kill cut off."""
    found: dict[str, Prediction] = {}
    text = cache_file.read_text(encoding="utf-8", errors="replace") if cache_file.exists() else ""
    for line in text.split("\n"):
        with suppress(json.JSONDecodeError):
            prediction = json.loads(line)
            found[prediction.pop("key")] = prediction
    return found


def _song(file: Path | Url, prediction: Prediction, uri: str) -> Song:
    if "reason" in prediction:
        return Song(file, prediction["reason"], model=uri)
    names = ("guess", "verdict", "distance", "seconds", "probabilities")
    own: dict[str, Any] = {name: prediction[name] for name in names}
    return Song(file, "", **own, tags=prediction.get("tags", {}), model=uri)
