"""Data sets and models that are shared, changed and brought back with DVC and git."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from checkouts import CLIPS, NOTHING, commit, edit_params, make_music, ran, run, runs
from documented import Typed

REMOTE = "dvc remote add -d store <url>"
CANDIDATE = "soundtrack classify ~/Music --model candidate"


@pytest.mark.documented(REMOTE, "dvc push", "dvc pull", "dvc repro", "soundtrack champion", CANDIDATE)
def test_push_here_and_pull_there_leave_nothing_to_do(checkout: Path, typed: Typed, tmp_path: Path) -> None:
    typed(checkout, REMOTE, instead={"<url>": str(tmp_path / "store")})
    commit(checkout, "remote")
    typed(checkout, "dvc push")
    other = tmp_path / "other"
    run(tmp_path, "git", "clone", "--quiet", str(checkout), str(other))
    output = typed(other, "dvc pull", "dvc repro")
    assert ran(output) == []
    assert NOTHING in output
    make_music(tmp_path / "Music", clips=1)
    assert "Model: candidate (" in typed(other, CANDIDATE, home=tmp_path)
    assert "Accepted as the first champion" in typed(other, "soundtrack champion")
    assert NOTHING in run(other, "dvc", "repro"), "no output was written"
    # a stage run there continues runs that its store does not know: they are made anew, and say so
    run(other, "dvc", "repro", "--single-item", "--force", "evaluate@mlp")
    restored = runs(other).set_index("name").loc["mlp"]
    origin = runs(checkout)
    assert restored["restored"] in origin.index[origin["name"] == "mlp"]
    assert restored["valid/macro_f1"] == pytest.approx(
        yaml.safe_load((other / "metrics/mlp.json").read_text())["valid_macro_f1"],
        abs=1e-4,  # MLflow has four digits
    )


FIRST, COMMIT = "soundtrack import ~/music-v1 && dvc repro", 'git add -A && git commit -m "first version"'
SECOND = "soundtrack import ~/music-v2 && dvc repro"
SECOND_COMMIT = 'git add -A && git commit -m "six clips more, one relabelled"'
DIFFERENCE, BACK = "dvc metrics diff HEAD~1", "git checkout HEAD~1 && dvc checkout"


@pytest.mark.documented(FIRST, COMMIT, SECOND, SECOND_COMMIT, DIFFERENCE, BACK, "dvc repro")
def test_versions_of_a_data_set(checkout: Path, typed: Typed, tmp_path: Path) -> None:
    """The worked example of docs/versions.md: two versions as two commits, compared, and the first one back for nothing."""
    make_music(tmp_path / "music-v1")
    make_music(tmp_path / "music-v2", clips=CLIPS + 2)
    (tmp_path / "music-v2/low/low 0.wav").rename(tmp_path / "music-v2/high/low 0.wav")
    edit_params(
        checkout, lambda content: [content["experiments"].pop(key) for key in ("majority", "mlp", "multimodal")]
    )
    edit_params(checkout, lambda content: content.update(leak=[]))

    typed(checkout, FIRST, COMMIT, home=tmp_path)
    output = typed(checkout, SECOND, SECOND_COMMIT, home=tmp_path)
    assert {"download", "split", "features", "train@logreg", "compare"} <= set(ran(output))
    assert "6 of 30 clips have features to compute" in output, "the clip that has another label has its features"
    clips = pd.read_parquet(checkout / "data/clips.parquet")
    assert len(clips) == 3 * (CLIPS + 2)
    assert clips.set_index("clip_id").loc["high/low 0.wav", "label"] == "high"

    difference = typed(checkout, DIFFERENCE)
    assert "metrics/logreg.json" in difference
    assert "test_macro_f1" in difference

    versions = [
        yaml.safe_load(run(checkout, "git", "show", f"{revision}:data/music.dvc")) for revision in ("HEAD~1", "HEAD")
    ]
    table = runs(checkout)
    for version in versions:
        logged = table[table["dvc.data/music"] == version["outs"][0]["md5"]]
        assert {"logreg", "comparison"} <= set(logged["name"])

    typed(checkout, BACK)
    assert len(pd.read_parquet(checkout / "data/clips.parquet")) == 3 * CLIPS
    output = typed(checkout, "dvc repro")
    assert ran(output) == []
    assert NOTHING in output
