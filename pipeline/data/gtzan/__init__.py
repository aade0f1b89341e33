"""What is published about GTZAN's clips: artists, faults and the fault-filtered split.

The CSV files beside this one say where they come from. A clip is known by its id, ``blues.00012``, the last part
of its name in every copy of the data set, so an imported copy is recognised too.
"""

import re
from functools import cache
from pathlib import Path

import pandas as pd

from pipeline.data.groups import joint_credits, unknown

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
CLIPS = 100
"""Clips of each genre, numbered from 00000."""

_ID = re.compile(rf"({'|'.join(GENRES)})\.(\d{{5}})")


def id_of(clip: str) -> str | None:
    """``jazz/jazz.00054.wav`` is ``jazz.00054``; None for other names."""
    match = _ID.match(clip.rsplit("/", 1)[-1])
    return match[0] if match and int(match[2]) < CLIPS else None


def number_of(clip_id: str) -> int:
    """Place of a clip in its genre, 0 to 99."""
    return int(clip_id.rsplit(".", 1)[-1])


@cache
def groups() -> dict[str, str]:
    """Group of each of the 1000 ids: its artist, or one group for the unknown artists of a genre."""
    table = _read("artists.csv")
    return {
        clip: artist or unknown(clip.split(".")[0])
        for clip, artist in zip(table["id"], joint_credits(table["artist"]), strict=True)
    }


@cache
def credits() -> dict[str, str]:
    """Artists as the table credits them, by id; blank where unknown."""
    return dict(_read("artists.csv")[["id", "artist"]].itertuples(index=False))


@cache
def filtered() -> dict[str, str]:
    """Part of each of the 1000 ids in the fault-filtered split: train, valid, test or excluded."""
    return dict(_read("filtered.csv")[["id", "part"]].itertuples(index=False))


@cache
def faults() -> dict[str, str]:
    """Known faults, by id."""
    left_out = "excluded from the fault-filtered split (Kereliuk, Sturm and Larsen 2015)"
    found = {clip: [left_out] for clip, part in filtered().items() if part == "excluded"}
    for first, second in _read("identical.csv").itertuples(index=False):
        found.setdefault(first, []).append(f"the same bytes as {second}")
        found.setdefault(second, []).append(f"the same bytes as {first}")
    found.setdefault("jazz.00054", []).append("not readable in the copy on Kaggle")
    return {clip: "; ".join(reasons) for clip, reasons in sorted(found.items())}


def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(Path(__file__).with_name(name), comment="#", dtype=str, keep_default_na=False)
