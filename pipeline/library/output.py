"""Classified songs as a person or a program reads them: lines on the screen, CSV, JSON."""

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline.files import write_text
from pipeline.library.batch import Song
from pipeline.serving.manifest import About

WIDEST = 60
"""Characters of a file's name on the screen."""
WORDS = {"named": "named", "unsure": "unsure", "unfamiliar": "out of its depth"}


def lines(songs: Sequence[Song], folder: Path, top: int, known: About) -> list[str]:
    """One for each song, and what it comes to."""
    names = {song.file: _shown(song.file, folder) for song in songs}
    width = max(map(len, names.values()))
    rows = [f"{names[song.file]:{width}}  {_said(song, top, known)}" for song in songs]
    return [*rows, "", *summary(songs, known)]


def summary(songs: Sequence[Song], known: About) -> list[str]:
    verdicts = Counter(song.verdict for song in songs if not song.reason)
    counts = [f"{verdicts[verdict]} {word}" for verdict, word in WORDS.items()]
    unread = sum(bool(song.reason) for song in songs)
    told = [f"{len(songs)} files: {', '.join(counts)}, {unread} not read."]
    if by_label := Counter(song.label for song in songs if song.named):
        told.append(", ".join(f"{label} {count}" for label, count in by_label.most_common()))
    if verdicts["unsure"]:
        told.append(_on_unsure(known))
    if verdicts["unfamiliar"]:
        told.append(
            f"out of its depth: unlike anything the model learned from ({', '.join(known.labels)}). "
            f"Train it on music like yours (README, Your own music)."
        )
    return told


def _on_unsure(known: About) -> str:
    if known.sure > 1:
        return f"unsure: at no probability {known.precision:.0%} of its labels were right on validation; --precision takes less."
    return (
        f"unsure: no label is as probable as {known.sure:.2f}, from which on {known.precision:.0%} were right on "
        f"validation; --precision takes less."
    )


FIELDS = ("label", "guess", "confidence", "verdict", "distance", "seconds")
"""Of a song that was read, in CSV and JSON; ``label`` is empty where the screen names none."""


def write_csv(songs: Sequence[Song], known: About, file: Path) -> None:
    stream = io.StringIO(newline="")
    rows = csv.writer(stream)
    rows.writerow(["file", *FIELDS, *(f"p:{label}" for label in known.labels), "reason"])
    for song in songs:
        told = ["" if song.reason else getattr(song, name) for name in FIELDS]
        probabilities = [song.probabilities.get(label, "") for label in known.labels]
        rows.writerow([song.file, *told, *probabilities, song.reason])
    write_text(file, stream.getvalue(), errors="surrogateescape")


def write_json(songs: Sequence[Song], file: Path) -> None:
    told = [
        {"file": str(song.file), "reason": song.reason}
        if song.reason
        else {
            "file": str(song.file),
            **{name: getattr(song, name) for name in FIELDS},
            "probabilities": song.probabilities,
        }
        for song in songs
    ]
    # in ASCII: a name that is not UTF-8 could not be told otherwise
    write_text(file, json.dumps(told, indent=2) + "\n")


def _said(song: Song, top: int, known: About) -> str:
    if song.reason:
        return f"not read: {song.reason}"
    if song.verdict == "unfamiliar":
        return f"out of its depth (distance {song.distance:.1f}, known up to {known.familiar:.1f})"
    ranking = ", ".join(f"{label} {probability:.2f}" for label, probability in song.top(top))
    return ranking if song.named else f"unsure: {ranking}"


def _shown(file: Path, folder: Path) -> str:
    """On one line, whatever the name holds; of a long one its end."""
    name = str(file.relative_to(folder) if folder in file.parents else file)
    name = "".join(letter if letter.isprintable() else "?" for letter in name)
    return name if len(name) <= WIDEST else f"...{name[3 - WIDEST :]}"
