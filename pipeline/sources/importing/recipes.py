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

from pipeline.data import gtzan as published
from pipeline.sources import SourceError
from pipeline.sources.importing.files import counted, spelling
from pipeline.sources.importing.labels import Folder, Reading
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
    """The reading of the data set that the folder is, if it is a known one."""
    near = list(_near(folder))
    if found := [file for file in near if _is_fma(file)]:
        return fma(folder, found[0])
    if found := sorted((file for file in near if _is_jamendo(file)), key=_preference):
        return jamendo(folder, found[0])
    if found := [file for file in near if _is_contest(file)]:
        return ismir2004(folder, found)
    if "BallroomData" in _folders(folder) or any(file.name == "allBallroomFiles" for file in folder.found.audio):
        return ballroom(folder)
    clips = [file for file in folder.found.audio if published.id_of(file.name) and len(file.parts) > 1]
    return gtzan(folder, clips) if len(clips) * 2 > len(folder.found.audio) else None


def by_table(folder: Folder, table: Path) -> Reading | None:
    """As :func:`recognised`, where the user names the data set's own table."""
    if _is_fma(table):
        return fma(folder, table)
    if _is_jamendo(table):
        return jamendo(folder, table)
    return ismir2004(folder, [table]) if _is_contest(table) else None


def fma(folder: Folder, table: Path) -> Reading:
    """
    Raises:
        SourceError: the table lacks the columns, or has none of the files.
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
    tracks = {int(row[0]): (row[genre], row[artist]) for row in rows.to_dict("records") if row[0].isdigit()}
    found = {file: tracks.get(int(file.stem), ("", "")) for file in folder.found.audio if file.stem.isdecimal()}
    return _reading(folder, f"FMA: column genre_top of {table}", found, "no genre_top")


def jamendo(folder: Folder, table: Path) -> Reading:
    """Tracks of one genre; of several, none is said to be the first.

    Raises:
        SourceError: the table has none of the files.
    """
    tracks = {}
    for row in _rows(table, "\t"):
        genres = [tag.removeprefix("genre---") for tag in row[5:] if tag.startswith("genre---")]
        if len(row) > 5 and row[3] != JAMENDO[3]:
            tracks[_track(Path(row[3]))] = (genres[0] if len(genres) == 1 else "", row[1], len(genres))
    known = {file: tracks[track] for file in folder.found.audio if (track := _track(file)) in tracks}
    several = sum(number > 1 for _, _, number in known.values())
    found = {file: (genre, artist) for file, (genre, artist, _) in known.items()}
    reading = _reading(folder, f"MTG-Jamendo: genres of {table}", found, "not one genre")
    if several:
        reading.notes.append(f"{counted(several, 'track')} with several genres: not used, since none is the first.")
    return reading


def ismir2004(folder: Folder, lists: Sequence[Path]) -> Reading:
    """
    Raises:
        SourceError: the lists have none of the files.
    """
    found: dict[Path, tuple[str, str]] = {}
    for table in lists:
        # training, development and evaluation have a list each, in a folder of the same name
        part = [file for file in folder.found.audio if table.parent.name in file.parts]
        known = Files(folder.path, part or folder.found.audio)
        for row in _rows(table):
            path, genre, artist = (row[5], row[0], row[1]) if len(row) > 5 else (row[0], row[1], "")
            if len(files := known.find(path)) == 1:
                found[files[0]] = (genre, artist)
    return _reading(folder, f"ISMIR 2004: classes of {lists[0]}", found, "no class")


def ballroom(folder: Folder) -> Reading:
    """The tracks of one album are a group; those from the web (``Media-103402``) are each their own."""
    clips = [file for file in folder.found.audio if len(file.parts) > 1 and file.suffix.lower() == ".wav"]
    albums = {file: re.sub(r"^Albums-(.+)-\d+$", r"\1", file.stem) for file in clips}
    how = "Labels: folders of Ballroom. Groups: the albums in the files' names."
    labels = {file: file.parent.name for file in clips}
    return Reading(how, labels, Groups("", albums, are_artists=False), notes=[KNOWN])


def gtzan(folder: Folder, clips: Sequence[Path]) -> Reading:
    """The published artists are the groups."""
    groups = published.groups()
    names = {file: groups[published.id_of(file.name) or ""] for file in clips}
    kaggle = any("genres_original" in file.parts for file in clips) or folder.path.resolve().name == "genres_original"
    how = f"Labels: folders of GTZAN{' (the copy on Kaggle)' if kaggle else ''}. Groups: its published artists."
    rest = [file.as_posix() for file in folder.found.audio if file not in names]
    return Reading(
        how,
        {file: file.parent.name for file in clips},
        Groups("", names, are_artists=False),
        {"not a clip of GTZAN": rest} if rest else {},
        [KNOWN],
    )


def _reading(folder: Folder, how: str, found: dict[Path, tuple[str, str]], why: str) -> Reading:
    """Of label and artist by file, where both may be blank."""
    labels = {file: label for file, (label, _) in found.items() if label}
    if not labels:
        raise SourceError(f"none of the {counted(len(folder.found.audio), 'file')} of {folder.path} has a label. {how}")
    rest = [file.as_posix() for file in folder.found.audio if file not in labels]
    groups = Groups("", {file: artist for file, (_, artist) in found.items()})
    return Reading(f"Labels: {how}. Groups: its artists.", labels, groups, {why: rest} if rest else {}, [KNOWN])


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
