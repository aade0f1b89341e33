"""The real `dvc repro` on a tiny data set: what runs, what is skipped, and what reaches MLflow."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

ROOT = Path(__file__).parents[1]
RATE = 22050
CHORDS = {"low": (110.0, 165.0), "middle": (440.0, 554.0), "high": (1760.0, 2637.0)}
CLIPS = 8
NOTHING = "Data and pipelines are up to date."

TINY_FEATURES: dict[str, Any] = {
    "sample_rate": RATE,
    "tabular": {"n_fft": 2048, "hop_length": 512},
    "spectrogram": {"n_fft": 2048, "hop_length": 512, "bands": 32, "top_db": 80.0},
    "wavelet": {
        "hop_length": 512,
        "bands": 32,
        "bands_per_octave": 4,
        "filter_scale": 0.5,
        "fmin": 32.703,
        "top_db": 80.0,
    },
}


def run(folder: Path, *command: str, ok: bool = True) -> str:
    """Run a command as a user in the checkout ``folder`` would, and give what it printed."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_"))
    }
    environment |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"PYTHONPATH": str(folder), "MLFLOW_DISABLE_TELEMETRY": "true", "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert not ok or done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout[-6000:]}"
    return done.stdout


def ran(output: str) -> list[str]:
    """Names of the stages that DVC ran."""
    return re.findall(r"Running stage '(.+?)'", output)


def commit(folder: Path, message: str) -> str:
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "--quiet", "--allow-empty", "-m", message)
    return run(folder, "git", "rev-parse", "HEAD").strip()


def edit_params(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "params.yaml"
    content = yaml.safe_load(file.read_text())
    change(content)
    file.write_text(yaml.safe_dump(content, sort_keys=False))


def runs(folder: Path) -> pd.DataFrame:
    """The runs in the checkout's own MLflow store, with tags and latest metrics as columns."""
    with sqlite3.connect(folder / "mlflow.db") as store:
        tags = pd.read_sql("select run_uuid, key, value from tags", store)
        metrics = pd.read_sql("select run_uuid, key, value from latest_metrics", store)
        table = pd.read_sql("select run_uuid, name, status from runs", store).set_index("run_uuid")
    wide = pd.concat([tags, metrics]).pivot(index="run_uuid", columns="key", values="value")
    return table.join(wide)


def make_music(folder: Path, clips: int = CLIPS) -> None:
    """Labels that differ in the pitch of a chord; every clip has its own noise and its own envelope."""
    time = np.arange(int(2.0 * RATE)) / RATE
    for number, (label, pitches) in enumerate(CHORDS.items()):
        (folder / label).mkdir(parents=True)
        for clip in range(clips):
            rng = np.random.default_rng((number, clip))
            chord = sum(np.sin(2 * np.pi * pitch * (1 + 0.02 * rng.normal()) * time) for pitch in pitches)
            signal = 0.1 * chord * (1 + 0.3 * np.sin(2 * np.pi * (2 + clip) * time)) + 0.01 * rng.normal(
                size=len(time)
            )
            soundfile.write(folder / label / f"{label} {clip}.wav", signal, RATE)


def make_backbone(folder: Path) -> None:
    """A narrow MobileNetV2 with random weights, in place of the pre-trained one."""
    import torch
    from safetensors.torch import save_file
    from transformers import MobileNetV2Config, MobileNetV2Model

    torch.manual_seed(0)
    config = MobileNetV2Config(depth_multiplier=0.1, tf_padding=True)
    config.save_pretrained(folder)
    save_file(MobileNetV2Model(config, add_pooling_layer=False).state_dict(), folder / "model.safetensors")


def make_tiny(content: dict[str, Any]) -> None:
    content["data"]["source"] = "folder"
    content["features"] = TINY_FEATURES
    content["window"] = {"frames": 32}
    content["weights"] = {"mobilenet_v2": {"source": "path", "path": "backbone"}}
    content["leak"] = ["logreg"]
    for key in ("cnn", "transfer"):
        del content["experiments"][key]
    content["training"] |= {"epochs": 2, "batch_size": 8, "threads": 1, "accelerator": "cpu"}
    for experiment in content["experiments"].values():
        experiment.pop("training", None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of this working tree in which `dvc repro` has run on tiny music, all of it committed."""
    top = tmp_path_factory.mktemp("end-to-end")
    checkout = top / "checkout"
    listed = run(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists() or (ROOT / name).is_symlink():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, checkout / name, follow_symlinks=False)
    (checkout / "dvc.lock").unlink(missing_ok=True)
    run(checkout, "git", "init", "--quiet")
    for key, value in (("user.name", "Test"), ("user.email", "test@example.org")):
        run(checkout, "git", "config", key, value)
    make_backbone(checkout / "backbone")
    make_music(top / "music")
    edit_params(checkout, make_tiny)
    commit(checkout, "tiny")
    run(checkout, sys.executable, "-m", "pipeline.cli", "import", str(top / "music"))
    output = run(checkout, "dvc", "repro")
    assert "compare" in ran(output)
    commit(checkout, "first version")
    return checkout


@pytest.fixture
def checkout(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished checkout to change."""
    copy = tmp_path / "checkout"
    shutil.copytree(finished, copy, symlinks=True)
    return copy


def test_every_model_is_in_the_report_and_in_mlflow(finished: Path) -> None:
    experiments = yaml.safe_load((finished / "params.yaml").read_text())["experiments"]
    found = runs(finished).set_index("name")
    assert set(found.index) == {*experiments, "leak logreg", "comparison"}
    assert (found["status"] == "FINISHED").all()
    page = (finished / "reports/comparison.html").read_text()
    text = (finished / "reports/comparison.md").read_text()
    for key in experiments:
        assert key in page
        assert f"| {key} |" in text
        scores = yaml.safe_load((finished / f"metrics/{key}.json").read_text())
        for metric in ("valid_macro_f1", "valid_loss", "test_macro_f1", "test_accuracy"):
            assert float(found.loc[key, metric]) == pytest.approx(scores[metric])
    trained = found.drop(["majority", "logreg", "leak logreg", "comparison"])
    assert trained["train_loss"].astype(float).notna().all()
    assert found.loc["logreg", "test_macro_f1"] > found.loc["majority", "test_macro_f1"]
    assert len(found.loc["mlp", "git.commit"]) == 40
    assert "The leak" in page
    assert "<audio" in (finished / "reports/data.html").read_text()


def test_a_second_repro_does_nothing(finished: Path) -> None:
    output = run(finished, "dvc", "repro")
    assert ran(output) == []
    assert NOTHING in output


def test_another_epoch_count_reruns_one_train_one_evaluate_and_compare(checkout: Path) -> None:
    edit_params(checkout, lambda content: content["experiments"]["mlp"].update(training={"epochs": 3}))
    assert ran(run(checkout, "dvc", "repro")) == ["train@mlp", "evaluate@mlp", "compare"]
    assert len(pd.read_csv(checkout / "history/mlp.csv")) == 3


def test_a_changed_model_reruns_what_uses_it(checkout: Path) -> None:
    with (checkout / "pipeline/models/mlp.py").open("a") as module:
        module.write("\n# changed\n")
    stages = ran(run(checkout, "dvc", "repro"))
    assert [name for name in stages if not name.startswith("inputs@")] == [
        "train@mlp",
        "evaluate@mlp",
        "compare",
    ]


def test_experiment_in_a_temporary_copy_reaches_the_same_store(checkout: Path) -> None:
    before = len(runs(checkout))
    output = run(checkout, "dvc", "exp", "run", "--temp", "-S", "experiments.mlp.model.dropout=0.25")
    assert "train@mlp" in ran(output)
    name = re.findall(r"Ran experiment\(s\): (\S+)", output)[0]
    after = runs(checkout)
    assert len(after) == before + 2  # the mlp and the comparison
    assert set(after.loc[after["dvc.exp"] == name, "name"]) == {"mlp", "comparison"}
    # and the experiment comes into the workspace without computing anything
    run(checkout, "dvc", "exp", "apply", name)
    assert ran(run(checkout, "dvc", "repro")) == []


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
        lambda content: [content["experiments"].pop(key) for key in ("mlp", "multimodal")],
    )

    run(checkout, sys.executable, "-m", "pipeline.cli", "import", str(music))
    assert {"download", "split", "features@tabular", "train@logreg", "compare"} <= set(
        ran(run(checkout, "dvc", "repro"))
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
