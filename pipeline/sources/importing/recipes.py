"""Known data sets, recognised by their own metadata.

- FMA (Defferrard et al. 2017): ``tracks.csv`` with a header of three rows; ``000/000002.mp3`` is track 2
- GTZAN (Tzanetakis and Cook 2002): ``genres/blues/blues.00000.au``; Kaggle's copy has ``genres_original``
- ISMIR 2004 genre contest: ``tracklist.csv`` (class, artist, album, track, number, path), or ``ground_truth.csv`` (path, class)
- MTG-Jamendo (Bogdanov et al. 2019): tsv of TRACK_ID, ARTIST_ID, ALBUM_ID, PATH, DURATION and one column for each of TAGS
- Ballroom (Gouyon et al. 2006): ``BallroomData/Waltz/Albums-Ballroom_Magic-03.wav`` and ``allBallroomFiles``
"""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from pipeline.base.text import counted, spelling
from pipeline.data import gtzan as published
from pipeline.sources import SourceError
from pipeline.sources.importing.labels import ENOUGH, Folder, Reading
from pipeline.sources.importing.matching import Files
from pipeline.sources.importing.tables import Groups

TRACKS, JAMENDO = "tracks.csv", ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH"]
CONTEST = ("tracklist.csv", "ground_truth.csv")
CLASSES = frozenset(
    map(
        spelling,
        [
            "classical",
            "electronic",
            "jazz_blues",
            "metal_punk",
            "rock_pop",
            "world",
            "jazz",
            "blues",
            "metal",
            "punk",
            "rock",
            "pop",
        ],
    )
)
KNOWN = "This is a known data set; `--labels folders` takes the names of the folders instead."
BEST = ("autotagging_genre.tsv", "autotagging.tsv")
"""Of MTG-Jamendo's lists, the ones to prefer."""


def recognised(folder: Folder) -> Reading | None:
    """The reading of the data set that the folder is, if it is a known one: half of its files have to be of it."""
    near = list(_near(folder))
    tables = [file for file in near if _is_fma(file)]
    tables += sorted((file for file in near if _is_jamendo(file)), key=_preference)
    lists = [file for file in near if _is_contest(file)]
    for found in (*([table] for table in tables), *([lists] if lists else [])):
        reading = _of(folder, found)
        if reading and len(reading.groups.names if reading.groups else ()) >= ENOUGH * len(folder.found.audio):
            return reading
    if "BallroomData" in _folders(folder) or any(file.name == "allBallroomFiles" for file in folder.found.audio):
        return ballroom(folder)
    clips = [file for file in folder.found.audio if published.id_of(file.name) and len(file.parts) > 1]
    return gtzan(folder, clips) if len(clips) > ENOUGH * len(folder.found.audio) else None


def by_table(folder: Folder, table: Path) -> Reading | None:
    """As :func:`recognised`, where the user names the data set's own table.

    Raises:
        SourceError: it has none of the files.
    """
    if not (_is_fma(table) or _is_jamendo(table) or _is_contest(table)):
        return None
    if reading := _of(folder, [table]):
        return reading
    raise SourceError(
        f"{table} has a label for none of the {counted(len(folder.found.audio), 'file')} of {folder.path}"
    )


def _of(folder: Folder, lists: Sequence[Path]) -> Reading | None:
    if _is_fma(lists[0]):
        return fma(folder, lists[0])
    return jamendo(folder, lists[0]) if _is_jamendo(lists[0]) else ismir2004(folder, lists)


def fma(folder: Folder, table: Path) -> Reading | None:
    """
    Raises:
        SourceError: the table lacks the columns.
    """
    header = _rows(table)
    names = list(zip(next(header), next(header), strict=False))
    try:
        genre, artist = names.index(("track", "genre_top")), names.index(("artist", "name"))
    except ValueError:
        raise SourceError(f"{table} lacks FMA's columns track, genre_top and artist, name") from None
    rows = pd.read_csv(
        table, skiprows=3, header=None, usecols=[0, genre, artist], dtype="string", keep_default_na=False
    )
    tracks = {row[0].zfill(6): (row[genre], row[artist]) for row in rows.to_dict("records")}
    clips = [file for file in folder.found.audio if file.stem[:3] == file.parent.name and file.stem in tracks]
    found = {file: tracks[file.stem] for file in clips}
    return _reading(folder, f"FMA's top genres, {table}", found, "no top genre")


def jamendo(folder: Folder, table: Path) -> Reading | None:
    """Tracks of one genre; of several, none is said to be the first."""
    tracks = {}
    for row in _rows(table, "\t"):
        genres = [tag.removeprefix("genre---") for tag in row[5:] if tag.startswith("genre---")]
        if len(row) > 5 and row[3] != JAMENDO[3]:
            tracks[_track(Path(row[3]))] = (genres[0] if len(genres) == 1 else "", row[1], len(genres))
    known = {file: tracks[track] for file in folder.found.audio if (track := _track(file)) in tracks}
    several = sum(number > 1 for _, _, number in known.values())
    found = {file: (genre, artist) for file, (genre, artist, _) in known.items()}
    reading = _reading(folder, f"MTG-Jamendo's genres, {table}", found, "not one genre")
    if reading and several:
        reading.notes.append(f"{counted(several, 'track')} with several genres: not used, since none is the first.")
    return reading


def ismir2004(folder: Folder, lists: Sequence[Path]) -> Reading | None:
    found: dict[Path, tuple[str, str]] = {}
    for table in lists:
        # training, development and evaluation have a list each, in a folder of the same name
        part = [file for file in folder.found.audio if table.parent.name in file.parts]
        known = Files(folder.path, part or folder.found.audio)
        for row in _rows(table):
            path, genre, artist = (row[5], row[0], row[1]) if len(row) > 5 else (row[0], row[-1], "")
            if len(files := known.find(path)) == 1:
                found[files[0]] = (genre, artist)
    return _reading(folder, f"ISMIR 2004's classes, {lists[0]}", found, "no class")


def ballroom(folder: Folder) -> Reading:
    """The tracks of one album are a group; those from the web (``Media-103402``) are each their own."""
    clips = [file for file in folder.found.audio if len(file.parts) > 1 and file.suffix.lower() == ".wav"]
    albums = {file: re.sub(r"^Albums-(.+)-\d+$", r"\1", file.stem) for file in clips}
    groups = Groups("Groups: the albums in the files' names.", albums, are_artists=False)
    return Reading("Labels: Ballroom's folders.", {file: file.parent.name for file in clips}, groups, notes=[KNOWN])


def gtzan(folder: Folder, clips: Sequence[Path]) -> Reading:
    """The published artists are the groups."""
    published_groups = published.groups()
    names = {file: published_groups[published.id_of(file.name) or ""] for file in clips}
    kaggle = any("genres_original" in file.parts for file in clips) or folder.path.resolve().name == "genres_original"
    rest = [file.as_posix() for file in folder.found.audio if file not in names]
    return Reading(
        f"Labels: GTZAN's folders{' (the copy on Kaggle)' if kaggle else ''}.",
        {file: file.parent.name for file in clips},
        Groups("Groups: GTZAN's artists, as published.", names, are_artists=False),
        {"not a clip of GTZAN": rest} if rest else {},
        [KNOWN],
    )


def _reading(folder: Folder, how: str, found: dict[Path, tuple[str, str]], why: str) -> Reading | None:
    """Of label and artist by file, where both may be blank."""
    labels = {file: label for file, (label, _) in found.items() if label}
    if not labels:
        return None
    rest = [file.as_posix() for file in folder.found.audio if file not in labels]
    groups = Groups("Groups: its artists.", {file: artist for file, (_, artist) in found.items()})
    return Reading(f"Labels: {how}.", labels, groups, {why: rest} if rest else {}, [KNOWN])


def _near(folder: Folder) -> Iterator[Path]:
    """Files in the folder that may be metadata, and those beside it: audio and metadata are often two folders."""
    yield from (folder.path / file for file in folder.found.other if file.suffix in (".csv", ".tsv"))
    above = folder.path.resolve().parent
    for pattern in (TRACKS, f"*/{TRACKS}", "*.tsv", "data/*.tsv"):
        yield from sorted(above.glob(pattern))
    here = folder.path.resolve().name
    for name in CONTEST:
        yield from (*sorted(above.glob(f"metadata/*/{name}")), above.parent / "metadata" / here / name)


def _folders(folder: Folder) -> set[str]:
    inside = (part for file in folder.found.audio for part in file.parts[:-1])
    return {folder.path.resolve().name, *inside}


def _track(file: Path) -> str:
    """``48/948`` of ``audio/48/948.low.mp3``."""
    return f"{file.parent.name}/{file.stem.removesuffix('.low')}"


def _preference(file: Path) -> tuple[int, str]:
    return (BEST.index(file.name) if file.name in BEST else len(BEST), file.as_posix())


def _is_fma(file: Path) -> bool:
    return file.suffix == ".csv" and file.is_file() and _first(file)[:2] == ["", "album"]


def _is_jamendo(file: Path) -> bool:
    return file.suffix == ".tsv" and file.is_file() and _first(file, "\t")[:4] == JAMENDO


def _is_contest(file: Path) -> bool:
    if file.name not in CONTEST or not file.is_file():
        return False
    rows = [row for _, row in zip(range(2), _rows(file), strict=False)]
    return any(spelling(cell) in CLASSES for row in rows for cell in row[:2])


def _first(file: Path, separator: str = ",") -> list[str]:
    return next(_rows(file, separator), [])


def _rows(file: Path, separator: str = ",") -> Iterator[list[str]]:
    """
    Raises:
        SourceError: it is not text.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            yield from filter(None, csv.reader(lines, delimiter=separator))
    except (UnicodeDecodeError, OSError, csv.Error) as error:
        raise SourceError(f"{file} is not readable as CSV: {error}") from None
