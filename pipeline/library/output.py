"""Classified songs as lines on the screen, CSV, JSON and playlists (M3U8: UTF-8, one path a line)."""

import csv
import io
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pipeline.base.files import write_text
from pipeline.base.text import counted
from pipeline.data.urls import Url
from pipeline.library.batch import NOT_READ, Song
from pipeline.serving.manifest import Summary, Verdict

MAX_WIDTH = 60
"""Characters of a file's name on the screen."""
FIELDS = ("label", "guess", "confidence", "verdict", "training_clip", "distance", "seconds", "model", "tags")
"""In CSV and JSON; ``label`` is empty unless the verdict is ``confident``."""
TAGS = Path("tags")
"""Folder of the playlists by tag, below that of the labels."""
Models = Mapping[str, Summary]
"""By URI, those that answered."""
THRESHOLDS = ("confidence_threshold", "target_precision", "ood_threshold")
LEAST, MANY = 0.01, 10
"""The lowest probability that is shown, and the highest ratio of distances."""
HEADER = ("file", "verdict", "guess", "confidence", "note")


def lines(songs: Sequence[Song], folder: Path | Url, top: int, models: Models) -> list[str]:
    """A table with a row for each song, and a summary."""
    rows = [HEADER, *((_shown(song.file, folder), *_cells(song, top, models)) for song in songs)]
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
    table = [
        f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]:{widths[2]}}  {row[3]:>{widths[3]}}  {row[4]}".rstrip()
        for row in rows
    ]
    return [*table, "", *summary(songs, models)]


def summary(songs: Sequence[Song], models: Models) -> list[str]:
    verdicts = Counter(song.verdict for song in songs)
    counts = [f"{verdicts[verdict]} {verdict}" for verdict in (*get_args(Verdict), NOT_READ) if verdicts[verdict]]
    text = [f"{counted(len(songs), 'file')}: {', '.join(counts)}."]
    if by_label := Counter(song.label for song in songs if song.confident):
        text.append(f"Labels: {', '.join(f'{label} {count}' for label, count in by_label.most_common())}.")
    for uri, model in models.items():
        own = {song.verdict for song in songs if song.model == uri}
        if "uncertain" in own:
            text.append(_explain_uncertain(model))
        if "out-of-distribution" in own:
            text.append(_explain_foreign(model))
    if any(song.training_clip for song in songs):
        text.append("training clip: the model was trained on this song, so its answer says nothing of the model.")
    return text


def _explain_uncertain(model: Summary) -> str:
    right = f"{percent(model.target_precision)} of answers"
    if model.confidence_threshold > 1:
        why = f"at no confidence were {right} right on validation clips"
    else:
        why = f"the best guess is below {percent(model.confidence_threshold)}. Above that, {right} were right on validation clips"
    return f"uncertain: {why}. A lower --precision gives more labels."


def _explain_foreign(model: Summary) -> str:
    if model.tags:
        return f"out-of-distribution: no tag of {', '.join(model.labels)} fits. More genres: genres.yaml."
    return (
        f"out-of-distribution: unlike all training clips, by a distance above the limit. Their labels: "
        f"{', '.join(model.labels)}. For music like yours: soundtrack import FOLDER, with a sub-folder for each label."
    )


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _cells(song: Song, top: int, models: Models) -> tuple[str, str, str, str]:
    """Verdict, guess, confidence, and what else there is to say."""
    if song.confidence is None:
        return song.verdict, "", "", song.reason
    if song.verdict == "out-of-distribution":
        # its probabilities say nothing
        return song.verdict, "", "", _how_far(song.distance / models[song.model].ood_threshold)
    _, *others = sorted(song.probabilities.items(), key=lambda pair: -pair[1])[:top]
    also = ", ".join(f"{label} {percent(share)}" for label, share in others if share >= LEAST)
    notes = ["training clip" if song.training_clip else "", also, ", ".join(song.tags)]
    return song.verdict, song.guess, percent(song.confidence), "; ".join(filter(None, notes))


def _how_far(times: float) -> str:
    """The distance to the nearest training clip, in those at which a song is out-of-distribution."""
    if times > MANY:
        return f"more than {MANY} times the limit"
    return f"{times:.1f} times the limit" if times >= 1.05 else "just above the limit"


def _shown(file: Path | Url, folder: Path | Url) -> str:
    """The name on one line; of a long one its end."""
    name = str(file).removeprefix(f"{str(folder).rstrip('/')}/")
    name = "".join(letter if letter.isprintable() else "?" for letter in name)
    return name if len(name) <= MAX_WIDTH else f"...{name[3 - MAX_WIDTH :]}"


def write_csv(songs: Sequence[Song], models: Models, file: Path) -> None:
    labels = list(dict.fromkeys(label for model in models.values() for label in model.labels))
    stream = io.StringIO(newline="")
    rows = csv.writer(stream)
    rows.writerow(["file", *FIELDS, *(f"p:{label}" for label in labels), "reason"])
    for song in songs:
        values = _fields(song) | {"tags": ", ".join(song.tags)}
        probabilities = [song.probabilities.get(label, "") for label in labels]
        rows.writerow([song.file, *(values.get(name, "") for name in FIELDS), *probabilities, song.reason])
    write_text(file, stream.getvalue(), errors="surrogateescape")


def write_json(songs: Sequence[Song], models: Models, file: Path) -> None:
    """The models with their thresholds, and the songs."""
    wanted = {"experiment", "labels", *THRESHOLDS}
    about = [{"uri": uri} | model.model_dump(include=wanted) for uri, model in models.items()]
    listed = [{"file": str(song.file)} | _fields(song) for song in songs]
    # ASCII: a file name need not be UTF-8
    write_text(file, json.dumps({"models": about, "songs": listed}, indent=2) + "\n")


def _fields(song: Song) -> dict[str, Any]:
    names = ("verdict", "reason") if song.reason else (*FIELDS, "probabilities")
    return {name: getattr(song, name) for name in names}


def write_playlists(songs: Sequence[Song], folder: Path) -> list[Path]:
    """Write ``<label>.m3u8`` for each label of a confident song, and ``tags/<tag>.m3u8`` for each of the tagger's tags of
    songs that are not out-of-distribution, with paths relative to the playlist. The most probable songs come first.

    Playlists of other labels and tags stay as they are.
    """
    by_label: dict[Path, list[tuple[float, Song]]] = defaultdict(list)
    for song in songs:
        if song.confident:
            by_label[folder / _file_name(song.label)].append((song.probabilities[song.label], song))
        if song.verdict != "out-of-distribution":
            for tag, share in song.tags.items():
                by_label[folder / TAGS / _file_name(tag)].append((share, song))
    for file, own in sorted(by_label.items()):
        own.sort(key=lambda pair: -pair[0])
        entries = "".join(["#EXTM3U\n", *(_entry(song, file.parent) for _, song in own)])
        # a file name need not be UTF-8, and only its own bytes lead to the song
        write_text(file, entries, errors="surrogateescape")
    return sorted(by_label)


def _entry(song: Song, folder: Path) -> str:
    path = os.path.relpath(song.file, folder) if isinstance(song.file, Path) else str(song.file)
    if "\n" in path or "\r" in path:
        return ""  # the format cannot hold such a name
    # a line that begins with # would be a comment
    path = f"./{path}" if path.startswith("#") else path
    return f"#EXTINF:{round(song.seconds)},{song.file.stem}\n{path}\n"


def _file_name(label: str) -> str:
    name = re.sub(r'[\\/:*?"<>|\x00-\x1f]', "_", label).strip(". ") or "_"
    return f"{name}.m3u8"
