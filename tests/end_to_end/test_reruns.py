"""What a changed data set costs again, by the commands that a person types, and by the benchmark of it."""

import re
import shutil
from pathlib import Path

import pandas as pd
from checkouts import CLIPS, make_music, run

from benchmarks import reruns
from pipeline.base import paths


def work(checkout: Path, *imported: str) -> dict[str, int]:
    """Of an import and the run after it: how many files were decoded, and of how many clips features were computed."""
    run(checkout, "soundtrack", "import", *imported, "--yes")
    output = run(checkout, "dvc", "repro", "inputs")
    found = re.findall(r"(\d+) of \d+ (files|clips) have", output)
    return {what: int(number) for number, what in found}


def test_a_relabel_decodes_no_file_and_computes_no_feature(checkout: Path, tmp_path: Path) -> None:
    music = tmp_path / "music"
    make_music(music)
    (music / "low/low 0.wav").rename(music / "high/low 0.wav")
    nothing = {"files": 0, "clips": 0}
    assert work(checkout, str(music)) == nothing
    clips = pd.read_parquet(checkout / paths.CLIPS).set_index("clip_id")
    assert clips.loc["high/low 0.wav", "label"] == "high"

    songs = tmp_path / "songs"
    songs.mkdir()
    for file in sorted(music.rglob("*.wav")):
        shutil.copy(file, songs / file.name)
    labels = pd.DataFrame({"path": [file.name for file in sorted(songs.iterdir())]})
    labels["label"] = labels["path"].str.split(" ").str[0]
    labels.loc[labels["path"] == "low 0.wav", "label"] = "middle"
    labels.to_csv(tmp_path / "songs.csv", index=False)
    assert work(checkout, str(songs), "--labels", str(tmp_path / "songs.csv")) == nothing
    clips = pd.read_parquet(checkout / paths.CLIPS)
    assert clips["label"].value_counts().to_dict() == {"high": CLIPS, "low": CLIPS - 1, "middle": CLIPS + 1}


def test_the_benchmark_adds_clips_and_relabels_one(checkout: Path, tmp_path: Path) -> None:
    make_music(tmp_path / "files", clips=1)
    files = sorted((tmp_path / "files").rglob("*.wav"))
    music = tmp_path / "music"
    rows = list(reruns.changed(checkout, music, files, count=24, turns=1))
    assert tuple(row.what for row in rows) == reruns.FIGURES
    for row in rows:
        assert (row.against, row.ratio) == ("all 24 clips", row.ours / row.theirs)
    clips = pd.read_parquet(checkout / paths.CLIPS)
    assert len(clips) == 25, "one was added"
    assert set(clips["status"]) == {"ok"}, "none is a duplicate"
    assert clips["group"].nunique() == 25
    moved = clips.set_index("clip_id").loc["label 1/00000.wav"]
    assert moved["label"] == "label 1", "clip 0 was made with label 0"
