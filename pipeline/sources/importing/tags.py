"""Genre and artist in the tags of music files, of every format that mutagen or FFmpeg's libraries know."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mutagen
from tqdm import tqdm

from pipeline.base.text import spelling
from pipeline.data import ffmpeg

GENRE = ("TCON", "\xa9gen", "genre", "WM/Genre")
ARTIST = ("TPE1", "\xa9ART", "artist", "Author")
ALBUM_ARTIST = ("TPE2", "aART", "albumartist", "album artist", "album_artist", "WM/AlbumArtist")
COMPILATION = ("TCMP", "cpil", "compilation", "WM/IsCompilation")
"""What ID3, MP4, Vorbis comments and APEv2, and ASF call them."""
VARIOUS = frozenset(map(spelling, ("Various Artists", "Various", "VA", "V/A", "Diverse", "Verschiedene Interpreten")))


@dataclass(frozen=True)
class Tags:
    genres: tuple[str, ...] = ()
    artist: str = ""
    album_artist: str = ""
    compilation: bool = False

    @property
    def by(self) -> str:
        """Whose clips belong together: the album's artist, except for a compilation, which has an artist per track."""
        if self.album_artist and not self.compilation and not is_various(self.album_artist):
            return self.album_artist
        return self.artist


def is_various(artist: str) -> bool:
    return spelling(artist) in VARIOUS


def read_all(folder: Path, files: Sequence[Path]) -> dict[Path, Tags]:
    return {file: read(folder / file) for file in tqdm(files, "tags", unit="file", disable=None, leave=False)}


def read(file: Path) -> Tags:
    """Nothing where the file has no tags, or cannot be read: the audit says so."""
    if not file.is_file():
        return Tags()
    try:
        audio = mutagen.File(file)
    except Exception:  # mutagen's parsers raise all sorts of errors on damaged files, which the audit will name
        audio = None
    tags = _tags(audio.tags) if audio is not None and audio.tags is not None else Tags()
    return tags if tags.genres or tags.artist else _by_ffmpeg(file)


def _by_ffmpeg(file: Path) -> Tags:
    """For containers that mutagen does not know (Matroska), and tags that it does not look for (INFO in WAV)."""
    entries = reversed(ffmpeg.metadata(file))
    return _tags({key.lower(): [value] for entry in entries for key, value in entry.items()})


def _tags(tags: Any) -> Tags:
    artists, albums = _values(tags, ARTIST), _values(tags, ALBUM_ARTIST)
    flag = _values(tags, COMPILATION)
    genres = [part.strip() for genre in _values(tags, GENRE) for part in genre.split(";")]
    return Tags(
        tuple(filter(None, genres)), "; ".join(artists), "; ".join(albums), flag[:1] in (["1"], ["True"], ["true"])
    )


def _values(tags: Any, keys: Iterable[str]) -> list[str]:
    found: Any = next((value for key in keys if (value := _get(tags, key)) is not None), [])
    # ID3 has numbers for the names of genres
    texts = found.genres if hasattr(found, "genres") else getattr(found, "text", found)
    several = [texts] if isinstance(texts, str | bool) else texts
    return [text for one in several if (text := str(one).strip())]


def _get(tags: Any, key: str) -> Any:
    with suppress(KeyError, ValueError):  # Vorbis comments refuse keys of other formats
        return tags[key]
    return None
