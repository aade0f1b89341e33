"""The real pipeline with stages one by one; the finished checkout was made with stages side by side."""

import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from checkouts import edit_params, ran, run, runs
from processes import free_port

from benchmarks.repro import bars_of


def test_stages_one_by_one_give_what_side_by_side_gave(finished: Path, checkout: Path) -> None:
    """From nothing but the code and the music: the same dvc.lock, and the same runs and scores in MLflow."""
    edit_params(
        checkout, lambda content: content.update(leak=[], experiments={"majority": content["experiments"]["majority"]})
    )
    for name in ("dvc.lock", "mlflow.db"):
        (checkout / name).unlink()
    for name in (".dvc/cache/runs", ".cache", "mlartifacts", "features", "models", "metrics"):
        shutil.rmtree(checkout / name)
    assert "compare" in ran(run(checkout, "dvc", "repro", "compare"))
    ours, theirs = (locked(folder) for folder in (checkout, finished))
    assert set(ours) <= set(theirs)
    same = ("download", "audit", "split", "features")
    assert [ours[stage] for stage in same] == [theirs[stage] for stage in same]
    metrics = "metrics/majority.json"
    assert (checkout / metrics).read_text() == (finished / metrics).read_text()
    columns = ["status", "test/macro_f1", "valid/macro_f1"]
    found, expected = (runs(folder).set_index("name")[columns].sort_index() for folder in (checkout, finished))
    pd.testing.assert_frame_equal(found, expected.drop(["logreg", "mlp", "multimodal", "leak", "leak logreg"]))
    assert ran(run(checkout, "dvc", "repro", "compare")) == []


def locked(checkout: Path) -> dict[str, Any]:
    """Stages as dvc.lock has them, less the time that features took, which is measured and so differs each time."""
    stages: dict[str, Any] = yaml.safe_load((checkout / "dvc.lock").read_text())["stages"]
    stages["features"]["outs"] = [out for out in stages["features"]["outs"] if out["path"] != "features/cost.json"]
    return stages


def test_a_timeline_has_each_stage_of_a_run(finished: Path) -> None:
    """What `python -m benchmarks repro` draws, from the lines that the run printed."""
    lines = (finished.parent / "make-repro.txt").read_text().splitlines()
    bars = {bar.stage: bar for bar in bars_of([(10.0 * place, line) for place, line in enumerate(lines)])}
    assert set(bars) == set(ran("\n".join(lines)))
    assert bars["audit"].after == "download"
    assert all(0 <= bar.begin <= bar.end for bar in bars.values())


def test_a_store_that_cannot_be_used_costs_no_output(checkout: Path) -> None:
    """DVC removes the outputs of a stage before the stage can say a word."""
    edit_params(checkout, lambda content: content["experiments"]["mlp"]["model"].update(hidden=[4]))
    address = f"http://127.0.0.1:{free_port()}"
    output = run(checkout, "make", "repro", ok=False, variables={"MLFLOW_TRACKING_URI": address})
    assert f"error: the MLflow server {address} does not answer: start it, or unset MLFLOW_TRACKING_URI" in output
    assert "Traceback" not in output
    for kept in ("models/mlp/run.json", "evaluation/mlp/scores.json", "reports/comparison.html"):
        assert (checkout / kept).exists()


def test_folds_lead_to_a_champion_that_has_learned_from_all_of_them(checkout: Path) -> None:
    """From params.yaml by `make repro` to a song's label; the page of mistakes explains the model of the refit."""

    def crossed(content: dict[str, Any]) -> None:
        content["split"]["folds"] = 2
        content["experiments"] = {"logreg": content["experiments"]["logreg"]}
        content["leak"] = []

    edit_params(checkout, crossed)
    output = run(checkout, "make", "repro")
    assert re.search(r"the training clips are cross-validated in 2 folds$", output, re.MULTILINE)
    assert "Accepted as champion" in output
    trained = {folder.name for folder in (checkout / "models/logreg").iterdir() if folder.is_dir()}
    assert trained == {"fold0-seed7", "fold1-seed7", "refit2-seed7"}
    answers = pd.read_parquet(checkout / "evaluation/logreg/predictions.parquet")
    assert not answers.duplicated("clip_id").any()
    assert set(answers.loc[answers["part"] == "test", "fold"]) == {2}
    assert "Mistakes of logreg" in (checkout / "reports/models/logreg.html").read_text()
    seen = pd.read_parquet(checkout / "candidate/seen.parquet")
    assert set(seen["part"]) == {"valid"}, "each clip outside test has an out-of-fold answer"
    assert len(seen) == (answers["part"] == "valid").sum()
