"""Every protocol that params.yaml offers, asked for in params.yaml and made by `dvc repro`, on clips with GTZAN's names."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from checkouts import RATE, edit_params, ran, run

from pipeline.data import gtzan

GENRES = ("blues", "jazz", "rock")
PER_PART = 4
"""Clips of each genre in each part of the published split."""


@pytest.fixture
def named_like_gtzan(checkout: Path, tmp_path: Path) -> Path:
    """A checkout with such clips as its data, grouped by GTZAN's artists."""
    ids = _ids()
    for number, clip in enumerate(ids):
        file = tmp_path / "gtzan" / clip.split(".")[0] / f"{clip}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, np.random.default_rng(number).normal(0, 0.1, RATE + number), RATE)
    artists = tmp_path / "artists.csv"
    pd.DataFrame({"id": ids, "artist": [gtzan.groups()[clip] for clip in ids]}).to_csv(artists, index=False)
    folder = str(tmp_path / "gtzan")
    run(checkout, sys.executable, "-m", "pipeline.cli", "import", folder, "--groups", str(artists), "--yes")
    return checkout


def _ids() -> list[str]:
    """The first ids of each part in the published split, and the first excluded one."""
    found: list[str] = []
    for genre in GENRES:
        parts: dict[str, list[str]] = {}
        for clip, part in gtzan.filtered().items():
            if clip.startswith(genre):
                parts.setdefault(part, []).append(clip)
        for part, own in parts.items():
            # from both ends: the tutorial cuts at clip 60
            found += [*own[: PER_PART // 2], *own[-PER_PART // 2 :]] if part != "excluded" else own[:1]
    return sorted(set(found))


def _split(checkout: Path, protocol: str, **changes: Any) -> pd.DataFrame:
    """The split table that `dvc repro split` makes, joined with the clips."""
    edit_params(checkout, lambda content: content["split"].update(protocol=protocol, **changes))
    assert "split" in ran(run(checkout, "dvc", "repro", "split"))
    rows = pd.read_parquet(checkout / "data/split.parquet")
    return rows.merge(pd.read_parquet(checkout / "data/clips.parquet"), on="clip_id")


def test_each_protocol_makes_its_own_split(named_like_gtzan: Path) -> None:
    found = {name: _split(named_like_gtzan, name) for name in ("grouped", "random", "tutorial", "filtered")}
    for name, table in found.items():
        assert set(table["protocol"]) == {name}
        assert (table.groupby("label")["part"].nunique() == 3).all()
    parts = [
        tuple(table.sort_values("clip_id")[["clip_id", "part"]].itertuples(index=False)) for table in found.values()
    ]
    assert len(set(parts)) == 4
    ids = {name: table["clip_id"].map(gtzan.id_of) for name, table in found.items()}

    assert (found["grouped"].groupby("group")["part"].nunique() == 1).all()
    assert (found["random"].groupby("group")["part"].nunique() > 1).any()
    assert list(found["filtered"]["part"]) == list(ids["filtered"].map(gtzan.filtered()))
    assert len(found["filtered"]) < len(found["grouped"]), "excluded clips are in no part"
    assert list(found["tutorial"]["part"] == "test") == [gtzan.number_of(clip) >= 60 for clip in ids["tutorial"]]


def test_a_split_that_cannot_be_is_refused_in_words(named_like_gtzan: Path, tmp_path: Path) -> None:
    """As of gtzan-mini, with one artist for a genre: `random` is possible, as docs/music.md says."""
    artists = pd.read_csv(tmp_path / "artists.csv")
    artists.loc[artists["id"].str.startswith("blues"), "artist"] = "John Lee Hooker"
    artists.to_csv(tmp_path / "artists.csv", index=False)
    bring = ("import", str(tmp_path / "gtzan"), "--groups", str(tmp_path / "artists.csv"), "--yes")
    run(named_like_gtzan, sys.executable, "-m", "pipeline.cli", *bring)
    refused = run(named_like_gtzan, "dvc", "repro", "split", ok=False)
    assert "error: too few groups" in refused
    assert "'blues' has 1, 3 are needed" in refused
    assert "Traceback" not in refused
    assert set(_split(named_like_gtzan, "random")["part"]) == {"train", "valid", "test"}
    for file in (tmp_path / "gtzan/rock").iterdir():
        if gtzan.number_of(file.stem) >= 60:
            file.unlink()
    run(named_like_gtzan, sys.executable, "-m", "pipeline.cli", *bring)
    edit_params(named_like_gtzan, lambda content: content["split"].update(protocol="tutorial"))
    refused = run(named_like_gtzan, "dvc", "repro", "split", ok=False)
    assert "label 'rock' has no clip in test" in refused
    assert "Traceback" not in refused
