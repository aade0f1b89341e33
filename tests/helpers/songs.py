"""Made-up songs of many formats, with the tags that a person's player would show."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mutagen
import numpy as np
import soundfile
from mutagen.id3 import ID3, TCMP, TCON, TPE1, TPE2, ID3FileType
from sounds import FORMATS, encode

RATE = 48_000
BY_FFMPEG = (".mka", ".webm")
"""Containers whose tags mutagen does not write."""
KEYS = {
    "MP4Tags": ("\xa9gen", "\xa9ART", "aART", "cpil"),
    "ASFTags": ("WM/Genre", "Author", "WM/AlbumArtist", "WM/IsCompilation"),
}
"""What Vorbis comments call genre, artist, albumartist and compilation."""


def make(
    file: Path,
    genre: str | Sequence[str] = (),
    artist: str = "",
    album_artist: str = "",
    *,
    compilation: bool = False,
    seed: int | None = None,
    seconds: float = 0.1,
) -> Path:
    """Noise of its own, by default for each path, in the format that the suffix says."""
    file.parent.mkdir(parents=True, exist_ok=True)
    number = list(str(file).encode()) if seed is None else [seed]
    samples = np.random.default_rng(number).normal(0, 0.1, round(RATE * seconds)).astype(np.float32)
    genres = [genre] if isinstance(genre, str) else list(genre)
    values = dict(zip(("genre", "artist", "album_artist"), ("; ".join(genres), artist, album_artist), strict=True))
    write(file, samples, RATE, {key: value for key, value in values.items() if value})
    if file.suffix not in BY_FFMPEG:
        tag(file, genres, artist, album_artist, compilation)
    return file


def write(file: Path, samples: Any, rate: int, tags: Mapping[str, str]) -> None:
    """In the format of the suffixes; with tags where mutagen cannot write them."""
    if "".join(file.suffixes) in FORMATS:
        encode(file, samples, rate, tags if file.suffix in BY_FFMPEG else {})
    else:
        subtype = {".opus": ("OGG", "OPUS"), ".oga": ("OGG", "VORBIS")}.get(file.suffix, (None, None))
        soundfile.write(file, samples, rate, format=subtype[0], subtype=subtype[1])


def tag(file: Path, genres: Sequence[str], artist: str = "", album_artist: str = "", compilation: bool = False) -> None:
    """Write these tags; others stay."""
    audio = ID3FileType(file) if file.suffix == ".aac" else mutagen.File(file)
    if audio.tags is None:
        audio.add_tags()
    given = [list(genres), [artist] if artist else [], [album_artist] if album_artist else []]
    if isinstance(audio.tags, ID3):
        for frame, values in zip((TCON, TPE1, TPE2), given, strict=True):
            if any(values):
                audio.tags.add(frame(encoding=3, text=values))
        if compilation:
            audio.tags.add(TCMP(encoding=3, text=["1"]))
    else:
        names = KEYS.get(type(audio.tags).__name__, ("genre", "artist", "albumartist", "compilation"))
        for name, values in zip(names, given, strict=False):
            if any(values):
                audio.tags[name] = values
        if compilation:
            audio.tags[names[3]] = True if names[3] == "cpil" else ["1"]
    audio.save()
