"""Classified songs as lines on the screen, CSV, JSON and playlists (M3U8: UTF-8, one path a line)."""

import csv
import io
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from pipeline.base.files import write_text
from pipeline.library.batch import Song
from pipeline.serving.manifest import Summary, Verdict

MAX_WIDTH = 60
"""Characters of a file's name on the screen."""
FIELDS = ("label", "guess", "confidence", "verdict", "distance", "seconds")
"""In CSV and JSON; ``label`` is empty unless the verdict is ``confident``."""


def lines(songs: Sequence[Song], folder: Path, top: int, model: Summary) -> list[str]:
    """One for each song, and a summary."""
    names = {song.file: _shown(song.file, folder) for song in songs}
    width = max(map(len, names.values()))
    rows = [f"{names[song.file]:{width}}  {_line(song, top, model)}" for song in songs]
    return [*rows, "", *summary(songs, model)]


def summary(songs: Sequence[Song], model: Summary) -> list[str]:
    verdicts = Counter(song.verdict for song in songs if not song.reason)
    counts = [f"{verdicts[verdict]} {verdict}" for verdict in get_args(Verdict)]
    unread = sum(bool(song.reason) for song in songs)
    text = [f"{counted(len(songs), 'file')}: {', '.join(counts)}, {unread} not read."]
    if by_label := Counter(song.label for song in songs if song.confident):
        text.append(", ".join(f"{label} {count}" for label, count in by_label.most_common()))
    if verdicts["uncertain"]:
        text.append(_explain_uncertain(model))
    if verdicts["out-of-distribution"]:
        text.append(
            f"out-of-distribution: unlike all training clips (labels: {', '.join(model.labels)}). "
            f"Train a model on music like yours (docs/music.md)."
        )
    return text


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _explain_uncertain(model: Summary) -> str:
    right = f"{model.target_precision:.0%} of predictions"
    if model.confidence_threshold > 1:
        why = f"at no confidence threshold were {right} right on validation clips"
    else:
        why = f"the best guess is below {model.confidence_threshold:.0%}. Above that, {right} were right on validation clips"
    return f"uncertain: {why}. A lower --precision gives more labels."


def _line(song: Song, top: int, model: Summary) -> str:
    if song.reason:
        return f"not read: {song.reason}"
    if song.verdict == "out-of-distribution":
        return f"out-of-distribution (distance {song.distance:.1f}, limit {model.ood_threshold:.1f})"
    best = sorted(song.probabilities.items(), key=lambda pair: -pair[1])[:top]
    ranking = ", ".join(f"{label} {probability:.2f}" for label, probability in best)
    return ranking if song.confident else f"uncertain: {ranking}"


def _shown(file: Path, folder: Path) -> str:
    """The name on one line; of a long one its end."""
    name = str(file.relative_to(folder) if folder in file.parents else file)
    name = "".join(letter if letter.isprintable() else "?" for letter in name)
    return name if len(name) <= MAX_WIDTH else f"...{name[3 - MAX_WIDTH :]}"


def write_csv(songs: Sequence[Song], model: Summary, file: Path) -> None:
    stream = io.StringIO(newline="")
    rows = csv.writer(stream)
    rows.writerow(["file", *FIELDS, *(f"p:{label}" for label in model.labels), "reason"])
    for song in songs:
        values = ["" if song.reason else getattr(song, name) for name in FIELDS]
        probabilities = [song.probabilities.get(label, "") for label in model.labels]
        rows.writerow([song.file, *values, *probabilities, song.reason])
    write_text(file, stream.getvalue(), errors="surrogateescape")


def write_json(songs: Sequence[Song], file: Path) -> None:
    fields = (*FIELDS, "probabilities")
    objects = [
        {"file": str(song.file)} | {name: getattr(song, name) for name in (["reason"] if song.reason else fields)}
        for song in songs
    ]
    # ASCII: a file name need not be UTF-8
    write_text(file, json.dumps(objects, indent=2) + "\n")


def write_playlists(songs: Sequence[Song], folder: Path) -> list[Path]:
    """Write ``<label>.m3u8`` for each label of a confident song, with paths relative to the folder.

    Playlists of other labels stay as they are.
    """
    by_label: dict[str, list[Song]] = defaultdict(list)
    for song in songs:
        if song.confident:
            by_label[song.label].append(song)
    written = []
    for label, own in sorted(by_label.items()):
        file = folder / f"{_file_name(label)}.m3u8"
        own.sort(key=lambda song: -song.probabilities[label])
        entries = "".join(["#EXTM3U\n", *(_entry(song, folder) for song in own)])
        # a file name need not be UTF-8, and only its own bytes lead to the song
        write_text(file, entries, errors="surrogateescape")
        written.append(file)
    return written


def _entry(song: Song, folder: Path) -> str:
    path = os.path.relpath(song.file, folder)
    if "\n" in path or "\r" in path:
        return ""  # the format cannot hold such a name
    # a line that begins with # would be a comment
    path = f"./{path}" if path.startswith("#") else path
    return f"#EXTINF:{round(song.seconds)},{song.file.stem}\n{path}\n"


def _file_name(label: str) -> str:
    return re.sub(r'[\\/:*?"<>|\x00-\x1f]', "_", label).strip(". ") or "_"
