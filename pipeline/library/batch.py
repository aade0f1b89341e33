"""A folder of music, classified song by song; what is done stays done when it is interrupted."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.serving.isolated import Told, listening
from pipeline.tracking.registry import Registered

COMPANIONS = frozenset(
    [
        ".accurip",
        ".asx",
        ".avif",
        ".bmp",
        ".cue",
        ".db",
        ".doc",
        ".docx",
        ".ffp",
        ".gif",
        ".htm",
        ".html",
        ".ico",
        ".ini",
        ".jpeg",
        ".jpg",
        ".json",
        ".log",
        ".lrc",
        ".lnk",
        ".m3u",
        ".m3u8",
        ".md",
        ".md5",
        ".nfo",
        ".pdf",
        ".plist",
        ".pls",
        ".png",
        ".rtf",
        ".sfv",
        ".sha256",
        ".srt",
        ".svg",
        ".tif",
        ".tiff",
        ".torrent",
        ".txt",
        ".url",
        ".webp",
        ".xml",
        ".xspf",
        ".yaml",
        ".yml",
    ]
)
"""Endings of files that stand beside music. Any other file is tried."""


@dataclass(frozen=True)
class Song:
    """What is known of a file."""

    file: Path
    """As it was found, below the folder asked for."""
    reason: str
    """Why nothing is known of it; empty if something is."""
    guess: str = ""
    """The most probable label."""
    verdict: str = ""
    distance: float = 0.0
    seconds: float = 0.0
    """Of it that were heard."""
    probabilities: dict[str, float] = field(default_factory=dict)

    @property
    def named(self) -> bool:
        return self.verdict == "named"

    @property
    def label(self) -> str:
        """Empty unless the verdict is ``named``: a guess is no label."""
        return self.guess if self.named else ""

    @property
    def confidence(self) -> float | None:
        """The probability of the guess, where there is one."""
        return self.probabilities.get(self.guess)

    def top(self, count: int) -> list[tuple[str, float]]:
        return sorted(self.probabilities.items(), key=lambda pair: -pair[1])[:count]


def songs(folder: Path) -> tuple[list[Path], list[Path]]:
    """All files below the folder, sorted: those that may be music, and those that only stand beside it.

    Links are followed, loops are not; what is hidden is left out.

    Raises:
        UserError: the folder is missing, or holds no music.
    """
    if folder.is_file():
        return [folder], []
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: give one with music in it")
    files = sorted(_below(folder, {folder.resolve()}))
    beside = [file for file in files if file.suffix.lower() in COMPANIONS]
    found = [file for file in files if file.suffix.lower() not in COMPANIONS]
    if not found:
        raise UserError(f"{folder} has no music in it, in any of its folders")
    return found, beside


def classify(files: Sequence[Path], model: Registered, kept: Path) -> list[Song]:
    """What the model makes of each file, in their order.

    Args:
        kept: where answers are written as they come; files that it has, and that have not changed since, are done.
    """
    known = _known(kept)
    todo = [file for file in files if _key(file) not in known]
    if todo:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with kept.open("a", encoding="utf-8") as answers, listening(model.package, model.code) as listen:
            answers.write("\n")  # ends a line that a kill has cut off
            for file, told in zip(todo, listen(todo), strict=True):
                known[_key(file)] = told
                if told.pop("unexpected", False):
                    continue
                answers.write(json.dumps({"key": _key(file), **told}) + "\n")
                answers.flush()
    return [_song(file, known[_key(file)]) for file in files]


def judged(song: Song, sure: float) -> Song:
    """The song with its label named from the probability ``sure`` on."""
    if song.reason or song.verdict == "unfamiliar":
        return song
    return replace(song, verdict="named" if song.probabilities[song.guess] >= sure else "unsure")


def kept(folder: Path, model: Registered) -> Path:
    """The file below ``folder`` with what this model has answered before."""
    name = hashlib.sha256((model.folder / "MLmodel").read_bytes()).hexdigest()[:16]
    return folder / f"{name}.jsonl"


def _below(folder: Path, above: set[Path]) -> Iterator[Path]:
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        return  # a folder that may not be read, or is gone by now
    for path in inside:
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if (real := path.resolve()) not in above:
                yield from _below(path, above | {real})
        else:
            yield path


def _key(file: Path) -> str:
    """Tells this content of the file from later ones, without reading it."""
    try:
        state = file.stat()
    except OSError:
        return f"{file.absolute()} gone"
    return f"{file.absolute()} {state.st_size} {state.st_mtime_ns}"


def _known(kept: Path) -> dict[str, Told]:
    """By key; a line that a kill has cut off is left out."""
    found: dict[str, Told] = {}
    lines = kept.read_text(encoding="utf-8", errors="replace").split("\n") if kept.exists() else []
    for line in lines:
        with suppress(json.JSONDecodeError):
            answer = json.loads(line)
            found[answer.pop("key")] = answer
    return found


def _song(file: Path, told: Told) -> Song:
    fields: dict[str, Any] = {"reason": "", **told}
    return Song(file, guess=fields.pop("label", ""), **fields)
