"""Data sets and models that are shared, changed and brought back with DVC and git."""

import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from checkouts import CLIPS, NOTHING, commit, edit_params, make_music, ran, run, runs


def test_push_here_and_pull_there_leave_nothing_to_do(checkout: Path, tmp_path: Path) -> None:
    run(checkout, "dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    commit(checkout, "remote")
    run(checkout, "dvc", "push")
    other = tmp_path / "other"
    run(tmp_path, "git", "clone", "--quiet", str(checkout), str(other))
    run(other, "dvc", "pull")
    output = run(other, "dvc", "repro")
    assert ran(output) == []
    assert NOTHING in output
    # a stage run there continues runs that its store does not know: they are made anew, and say so
    run(other, "dvc", "repro", "--single-item", "--force", "evaluate@mlp")
    restored = runs(other).set_index("name").loc["mlp"]
    origin = runs(checkout)
    assert restored["restored"] in origin.index[origin["name"] == "mlp"]
    assert restored["valid_macro_f1"] == pytest.approx(
        yaml.safe_load((other / "metrics/mlp.json").read_text())["valid_macro_f1"]
    )


def test_versions_of_a_data_set(checkout: Path, tmp_path: Path) -> None:
    """The README's worked example: two versions as two commits, compared, and the first one back for nothing."""
    first = run(checkout, "git", "rev-parse", "HEAD").strip()
    music = tmp_path / "music"
    make_music(music, clips=CLIPS + 2)
    (music / "low" / "low 0.wav").rename(music / "high" / "low 0.wav")
    edit_params(
        checkout,
        lambda content: [content["experiments"].pop(key) for key in ("majority", "mlp", "multimodal")],
    )
    edit_params(checkout, lambda content: content.update(leak=[]))

    run(checkout, sys.executable, "-m", "pipeline.cli", "import", str(music))
    assert {"download", "split", "features", "train@logreg", "compare"} <= set(
        ran(run(checkout, sys.executable, "-m", "pipeline.cli", "repro", "--jobs", "2"))
    )
    commit(checkout, "six clips more, one relabelled")
    clips = pd.read_parquet(checkout / "data/clips.parquet")
    assert len(clips) == 3 * (CLIPS + 2)
    assert clips.set_index("clip_id").loc["high/low 0.wav", "label"] == "high"

    difference = run(checkout, "dvc", "metrics", "diff", first)
    assert "metrics/logreg.json" in difference
    assert "test_macro_f1" in difference

    versions = [
        yaml.safe_load(run(checkout, "git", "show", f"{revision}:data/music.dvc"))
        for revision in (first, "HEAD")
    ]
    table = runs(checkout)
    for version in versions:
        logged = table[table["dvc.data/music"] == version["outs"][0]["md5"]]
        assert {"logreg", "comparison"} <= set(logged["name"])

    run(checkout, "git", "checkout", "--quiet", first)
    run(checkout, "dvc", "checkout")
    assert len(pd.read_parquet(checkout / "data/clips.parquet")) == 3 * CLIPS
    assert ran(run(checkout, "dvc", "repro")) == []
