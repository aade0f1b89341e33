"""Playlists of the songs whose label was named, one for each label (M3U8: UTF-8, one path a line)."""

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pipeline.files import write_text
from pipeline.library.batch import Song


def write(songs: Sequence[Song], folder: Path) -> list[Path]:
    """Write ``<label>.m3u8`` with paths relative to the folder; lists of labels that no song has now are left alone."""
    by_label: dict[str, list[Song]] = defaultdict(list)
    for song in songs:
        if song.named:
            by_label[song.label].append(song)
    written = []
    for label, own in sorted(by_label.items()):
        file = folder / f"{_file_name(label)}.m3u8"
        # the surest first
        own.sort(key=lambda song: -song.probabilities[label])
        entries = "".join(["#EXTM3U\n", *(_entry(song, folder) for song in own)])
        # of a name that is not UTF-8 only the true bytes lead to the song
        write_text(file, entries, errors="surrogateescape")
        written.append(file)
    return written


def _entry(song: Song, folder: Path) -> str:
    path = os.path.relpath(song.file, folder)
    if "\n" in path or "\r" in path:
        return ""  # the format has no way to say it
    # a name that begins with a mark would be a comment
    path = f"./{path}" if path.startswith("#") else path
    return f"#EXTINF:{round(song.seconds)},{song.file.stem}\n{path}\n"


def _file_name(label: str) -> str:
    return re.sub(r'[\\/:*?"<>|\x00-\x1f]', "_", label).strip(". ") or "_"
