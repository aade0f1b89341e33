"""A person's library as it lies: many formats in Artist/Album, labels and groups in the tags."""

from pathlib import Path

import numpy as np
import pandas as pd
import songs
from checkouts import CHORDS, edit_params, run, runs

from pipeline.base import paths

RATE = 48_000
FORMATS = (
    *(".mp3", ".wav", ".aiff", ".flac", ".ogg", ".opus", ".m4a", ".alac.m4a", ".wma", ".wv", ".tta", ".mka", ".webm"),
    ".mp4",
)
GENRES = dict(zip(("Dub", "Jazz", "Hip-Hop"), CHORDS.values(), strict=True))
ARTISTS = 5
"""Of each genre, with a song in each format."""


def make_library(folder: Path) -> None:
    time = np.arange(2 * RATE) / RATE
    for place, (genre, pitches) in enumerate(GENRES.items()):
        for number in range(ARTISTS):
            artist = f"{genre} artist {number}"
            for track, suffix in enumerate(FORMATS):
                rng = np.random.default_rng((place, number, track))
                chord = sum(np.sin(2 * np.pi * pitch * (1 + 0.02 * rng.normal()) * time) for pitch in pitches)
                file = folder / artist / "Album" / f"{track:02} song{suffix}"
                file.parent.mkdir(parents=True, exist_ok=True)
                signal = 0.1 * chord + 0.01 * rng.normal(size=len(time))
                songs.write(file, signal, RATE, {"genre": genre, "artist": artist})
                if file.suffix not in songs.BY_FFMPEG:
                    songs.tag(file, [genre], artist)


def test_a_library_of_fourteen_formats_becomes_a_champion(checkout: Path, tmp_path: Path) -> None:
    make_library(tmp_path / "library")
    count = len(GENRES) * ARTISTS * len(FORMATS)
    assert (len(FORMATS), count) == (14, 210)
    plan = run(checkout, "soundtrack", "import", str(tmp_path / "library"), "--labels", "tags")
    assert f"Imported {count} files with {len(GENRES)} labels" in plan
    assert "Looks wrong" not in plan
    for genre in GENRES:
        assert f"{genre} {ARTISTS * len(FORMATS)} {ARTISTS}" in " ".join(plan.split())

    keys = {"logreg": {"features": ["tabular"], "model": {"name": "logreg", "c": 1.0}}}
    edit_params(checkout, lambda content: content.update(leak=[], experiments=keys))
    run(checkout, "soundtrack", "repro")
    clips = pd.read_parquet(checkout / paths.CLIPS)
    assert list(clips.loc[clips["status"] != "ok", "reason"]) == []
    assert len(clips) == count
    assert clips["duration_s"].between(1.9, 2.2).all()
    artists = {f"{genre} artist {number}" for genre in GENRES for number in range(ARTISTS)}
    assert set(clips["group"]) == artists
    table = runs(checkout)
    assert "logreg" in set(table["name"])
    assert "logreg" in (checkout / paths.CARD).read_text()
    answers = run(checkout, "soundtrack", "classify", str(tmp_path / "library/Jazz artist 0/Album/06 song.m4a"))
    assert "Jazz" in answers
