"""From unlabelled songs to a champion: suggest, correct two lines, import, repro, gate."""

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd
import songs
import soundfile
import yaml
from checkouts import CHORDS, RATE, commit, edit_params, ran, run, runs

from pipeline.base import paths

ARTISTS = 6
"""Of each label, with two songs each."""


def make_library(folder: Path) -> dict[str, str]:
    """The label that each song should have, which nothing in the library says."""
    time, truth = np.arange(2 * RATE) / RATE, {}
    for place, (label, pitches) in enumerate(CHORDS.items()):
        for number in range(2 * ARTISTS):
            rng = np.random.default_rng((place, number, 1))
            chord = sum(np.sin(2 * np.pi * pitch * (1 + 0.02 * rng.normal()) * time) for pitch in pitches)
            swell = 1 + 0.3 * np.sin(2 * np.pi * (2 + number % 8) * time)
            artist = f"Artist {ARTISTS * place + number // 2}"
            file = folder / artist / f"{number % 2}.flac"
            file.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(file, 0.1 * chord * swell + 0.01 * rng.normal(size=len(time)), RATE)
            songs.tag(file, [], artist)
            truth[file.relative_to(folder).as_posix()] = label
    return truth


def table(checkout: Path) -> dict[str, dict[str, str]]:
    with (checkout / paths.SUGGESTED).open(encoding="utf-8-sig", newline="") as lines:
        return {row["path"]: row for row in csv.DictReader(lines)}


def imported(checkout: Path, library: Path) -> str:
    """What is said, and done: the songs are a version of DVC's, with runs in MLflow and a decision of the gate."""
    said = run(checkout, "soundtrack", "import", str(library), "--labels", str(paths.SUGGESTED))
    assert "champion" in ran(run(checkout, "soundtrack", "repro"))
    version = yaml.safe_load((checkout / "data/music.dvc").read_text())["outs"][0]["md5"]
    table = runs(checkout)
    assert {"logreg", "comparison"} <= set(table.loc[table["dvc.data/music"] == version, "name"])
    card = (checkout / paths.CARD).read_text()
    assert "ccepted" in card or "efused" in card
    clips = pd.read_parquet(checkout / paths.CLIPS).merge(pd.read_parquet(checkout / paths.SPLIT), on="clip_id")
    assert (clips.groupby("group")["part"].nunique() == 1).all()
    assert clips["group"].str.startswith("Artist ").all()
    return said


def test_suggest_correct_two_lines_import_repro_gate(checkout: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    truth = make_library(library)
    keys = {"logreg": {"features": ["tabular"], "model": {"name": "logreg", "c": 1.0}}}
    edit_params(checkout, lambda content: content.update(leak=[], experiments=keys))
    said = run(checkout, "soundtrack", "suggest", str(library), "--model", "champion")
    assert f"Then: soundtrack import {library} --labels suggested.csv" in said
    rows = table(checkout)
    named = {path: row["label"] for path, row in rows.items() if row["label"]}
    assert {path: truth[path] for path in named} == named
    unlike = [path for path, row in rows.items() if not row["label"]]
    assert 0 < len(unlike) < len(truth) / 2, "the test needs a song to correct"

    said = imported(checkout, library)
    assert f"Not used, no label in suggested.csv: {len(unlike)} file" in said
    assert f"nobody has checked: {len(named)} of {len(named)} labels" in said
    assert f"Imported {len(named)} files with 3 labels (high, low, middle)" in said
    first = commit(checkout, "weak labels")

    [other, *_] = (path for path, label in named.items() if label == "high")
    lines = (checkout / paths.SUGGESTED).read_text(encoding="utf-8").splitlines(keepends=True)
    for place, line in enumerate(lines):
        if line.startswith(f"{unlike[0]},"):
            lines[place] = line.replace(f"{unlike[0]},,", f"{unlike[0]},{truth[unlike[0]]},")
        if line.startswith(f"{other},"):
            lines[place] = line.replace(f"{other},high,", f"{other},middle,")
    (checkout / paths.SUGGESTED).write_text("".join(lines), encoding="utf-8", newline="")
    said = imported(checkout, library)
    assert f"1 added, 1 relabelled, 0 removed, {len(named) - 1} unchanged" in said
    assert f"Imported {len(named) + 1} files" in said
    clips = pd.read_parquet(checkout / paths.CLIPS).set_index("clip_id")["label"]
    assert clips[f"middle/{other}"] == "middle"
    assert clips[f"{truth[unlike[0]]}/{unlike[0]}"] == truth[unlike[0]]
    assert run(checkout, "git", "diff", "--name-only", first, "--", "data/music.dvc").strip() == "data/music.dvc"

    said = run(checkout, "soundtrack", "suggest", str(library), "--model", "champion")
    assert f"{len(truth)} songs (0 new, " in said
    assert "2 of yours kept as they are" in said
    assert re.search(r"\d left as they are, since the model was trained on them", said)
    after = table(checkout)
    assert (after[unlike[0]]["label"], after[other]["label"]) == (truth[unlike[0]], "middle")
