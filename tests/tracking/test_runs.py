"""Runs in a real MLflow store: continued, made anew when lost, with a model that loads and holds no pickle."""

import hashlib
import json
import os
import pickle
import pickletools
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnx
import onnx.parser
import pandas as pd
import pytest

from pipeline import tracking
from pipeline.base import paths
from pipeline.data import clips
from pipeline.models.exported import Exported
from pipeline.tracking.runs import LARGEST_BATCH, NOTE

EXPERIMENT = "music"
UNKNOWN = "0123456789abcdef" * 2

OPENS = f"""
from pipeline import tracking
with tracking.run("{EXPERIMENT}", "first", None, {{"by": "process"}}) as run:
    run.log_epoch(0, {{"loss": 1.0}})
    print(run.id)
"""


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[subprocess.CompletedProcess[str]]]:
    """A checkout whose store two processes have made together, and what became of them."""
    home = tmp_path_factory.mktemp("home")
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPENS],
            env={**environment, "DVC_ROOT": str(home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate() for process in processes]
    return home, [
        subprocess.CompletedProcess(process.args, process.returncode, *output)
        for process, output in zip(processes, outputs, strict=True)
    ]


@pytest.fixture
def home(begun: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkout that the store is in; the working folder is another one, as under ``dvc exp run --temp``."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(begun[0]))
    monkeypatch.chdir(tmp_path)
    return begun[0]


def run_id(name: str = "a run") -> str:
    with tracking.run(EXPERIMENT, name, None, {}) as run:
        return run.id


def test_two_processes_can_open_a_new_store_at_once(
    home: Path, begun: tuple[Path, list[subprocess.CompletedProcess[str]]]
) -> None:
    done = begun[1]
    assert [process.returncode for process in done] == [0, 0], done[0].stderr + done[1].stderr
    assert (home / "mlflow.db").is_file()
    tracking.connect(EXPERIMENT)
    for process in done:
        found = mlflow.get_run(process.stdout.split()[-1])
        assert (found.info.status, found.data.tags["by"]) == ("FINISHED", "process")
    assert done[0].stdout != done[1].stdout


def test_the_store_is_in_the_main_checkout_by_default(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracking.uri() == f"sqlite:///{home.resolve()}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking.uri() == "http://127.0.0.1:5000"
    # not the working folder, which may be the temporary copy of `dvc exp run --temp`
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs/mine.db?timeout=9")
    assert tracking.uri() == f"sqlite:///{home.resolve()}/runs/mine.db?timeout=9"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{Path.cwd()}/mine.db")
    assert tracking.uri() == f"sqlite:///{Path.cwd()}/mine.db"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.delenv("DVC_ROOT")
    assert tracking.uri() == f"sqlite:///{Path.cwd()}/mlflow.db"


def test_the_store_of_a_lesson_is_in_the_checkout_around_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether DVC runs it, which names the lesson's project, or a person by hand."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    lesson = tmp_path / "lessons/neuron"
    for folder in (lesson, tmp_path / "pipeline/base", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
    (tmp_path / "pipeline/base/paths.py").touch()
    monkeypatch.setenv("DVC_ROOT", str(lesson))
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert tracking.uri() == f"sqlite:///{tmp_path.resolve()}/mlflow.db"
    monkeypatch.delenv("DVC_ROOT")
    monkeypatch.chdir(lesson)
    assert tracking.uri() == f"sqlite:///{tmp_path.resolve()}/mlflow.db"


def test_a_run_continues_by_its_id(home: Path) -> None:
    with tracking.run(EXPERIMENT, "cnn", None, {"dvc.exp": "brown-bear"}) as run:
        first = run.id
        assert not run.restored
        run.log_params({"seed": 7})
        run.log_metrics({"cost/train_seconds": 3.5})
    with tracking.run(EXPERIMENT, "cnn", first, {"git.dirty": "true"}) as run:
        assert (run.id, run.restored) == (first, False)
        run.log_metrics({"test_macro_f1": 0.5}, step=9)
    found = mlflow.get_run(first)
    assert found.data.metrics == {"cost/train_seconds": 3.5, "test/macro_f1": 0.5}
    assert found.data.params == {"seed": "7"}
    assert found.info.run_name == "cnn"
    assert found.info.status == "FINISHED"
    assert {"dvc.exp": "brown-bear", "git.dirty": "true"}.items() <= found.data.tags.items()
    assert "restored" not in found.data.tags
    assert Path(home / "mlartifacts").as_uri() in found.info.artifact_uri


@pytest.mark.usefixtures("home")
def test_what_continues_a_finished_run_leaves_its_duration_name_and_description() -> None:
    with tracking.run(EXPERIMENT, "cnn", None, {}, about="cnn on spectrogram") as run:
        first = run.id
    client = mlflow.MlflowClient()
    before = client.get_run(first)
    assert before.data.tags[NOTE] == "cnn on spectrogram"
    client.set_tag(first, NOTE, "a person's")
    with tracking.run(EXPERIMENT, "another", first, {}, about="cnn on spectrogram") as run:
        run.log_metrics({"test_macro_f1": 0.5})
    after = client.get_run(first)
    assert after.info == before.info
    assert after.data.tags[NOTE] == "a person's"
    with tracking.run(EXPERIMENT, "cnn", first, {}) as run:
        run.took(90.5)
    info = client.get_run(first).info
    assert (info.status, info.end_time - info.start_time) == ("FINISHED", 90_500)


@pytest.mark.usefixtures("home")
def test_the_run_that_holds_others_is_made_once() -> None:
    first, second = (tracking.parent(EXPERIMENT, "leak", "all leaks") for _ in range(2))
    assert first == second
    with tracking.run(EXPERIMENT, "leak mlp", None, {}, first) as run:
        pass
    assert mlflow.get_run(run.id).data.tags["mlflow.parentRunId"] == first


@pytest.mark.usefixtures("home")
def test_a_run_names_the_version_of_its_data() -> None:
    """DVC's md5 of the audio; of the clips table where DVC does not know the audio."""
    row = {"label": "jazz", "group": "a", "clip_id": "a.wav", "source": "starter", "status": "ok"}
    clips.write(
        pd.DataFrame([row | {"clip_id": name, "group": name} for name in "ab"], columns=list(clips.COLUMNS)).fillna(
            {"duration_s": 1.0, "sample_rate": 1}
        )
    )
    table = clips.read()
    assert tracking.dataset(table)[:3] == (
        "starter",
        hashlib.md5(paths.CLIPS.read_bytes()).hexdigest(),
        "data/clips.parquet",
    )
    Path("dvc.lock").write_text(LOCK.replace("aaa", "a" * 32))
    Path("data/music.dvc").write_text("outs:\n- {md5: eee.dir, path: music}\n")
    assert tracking.dataset(table.assign(source="folder"))[:3] == ("music", "eee", "data/music")
    with tracking.run(EXPERIMENT, "cnn", None, {}) as run:
        for _ in range(2):  # as after an answer of the server that got lost
            run.log_dataset(*tracking.dataset(table))
    (used,) = mlflow.get_run(run.id).inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("starter", "a" * 32)
    assert json.loads(used.dataset.profile) == {"num_rows": 2, "labels": 1, "groups": 2}


@pytest.mark.usefixtures("home")
def test_an_unknown_id_gives_one_run_that_is_tagged() -> None:
    with tracking.run(EXPERIMENT, "cnn", UNKNOWN, {}) as run:
        made = run.id
        assert run.restored
        assert made != UNKNOWN
    with tracking.run(EXPERIMENT, "cnn", UNKNOWN, {}) as run:
        assert (run.id, run.restored) == (made, True), "nothing was logged to it yet"
        run.log_params({"seed": 7})
    with tracking.run(EXPERIMENT, "cnn", UNKNOWN, {}) as run:
        assert (run.id, run.restored) == (made, False)
    assert mlflow.get_run(made).data.tags["restored"] == UNKNOWN


@pytest.mark.usefixtures("home")
def test_a_deleted_run_is_made_anew() -> None:
    gone = run_id()
    mlflow.delete_run(gone)
    with tracking.run(EXPERIMENT, "cnn", gone, {}) as run:
        assert run.restored
        assert run.id != gone


@pytest.mark.usefixtures("home")
def test_a_run_that_breaks_off_is_failed_and_can_be_continued() -> None:
    with pytest.raises(RuntimeError), tracking.run(EXPERIMENT, "cnn", None, {}) as run:
        broken = run.id
        raise RuntimeError
    assert mlflow.get_run(broken).info.status == "FAILED"
    with tracking.run(EXPERIMENT, "cnn", broken, {}) as run:
        assert run.id == broken
    assert mlflow.get_run(broken).info.status == "FINISHED"


@pytest.mark.usefixtures("home")
def test_an_epoch_is_one_point_of_each_curve() -> None:
    curves = {"train_loss": [1.0, 0.5, 0.25], "valid_macro_f1": [0.25, 0.5, 0.5]}
    logged = {name: name.replace("_", "/", 1) for name in curves}  # which MLflow's pages group
    with tracking.run(EXPERIMENT, "cnn", None, {}) as run:
        for epoch in range(3):
            run.log_epoch(epoch, {name: values[epoch] for name, values in curves.items()})
    client = mlflow.MlflowClient()
    for name, values in curves.items():
        points = [(point.step, point.value) for point in client.get_metric_history(run.id, logged[name])]
        assert sorted(points) == list(enumerate(values))
    assert set(mlflow.get_run(run.id).data.metrics) == set(logged.values())


FUSED = """
<ir_version: 10, opset_import: ["": 18]>
fused (float[batch, 3, 8] spectrogram, float[batch, 4] tabular) => (float[batch, 3] probabilities) {
    loudest_axis = Constant <value_ints = [2]> ()
    loudest = ReduceMax <keepdims = 0> (spectrogram, loudest_axis)
    level_axis = Constant <value_ints = [1]> ()
    level = ReduceMean <keepdims = 1> (tabular, level_axis)
    logits = Mul (loudest, level)
    probabilities = Softmax <axis = 1> (logits)
}
"""
"""A model of two inputs."""


def is_pickle(content: bytes) -> bool:
    try:
        return bool(list(pickletools.genops(content)))
    except ValueError:
        return False


def test_the_logged_model_answers_as_the_file_and_holds_no_pickle(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    onnx.save(onnx.parser.parse_model(FUSED), str(file))
    rng = np.random.default_rng(7)
    inputs = {
        size: {
            "spectrogram": rng.normal(size=(size, 3, 8)).astype(np.float32),
            "tabular": rng.normal(size=(size, 4)).astype(np.float32),
        }
        for size in (1, 2, 5)
    }
    model = Exported(file, threads=1)
    with tracking.run(EXPERIMENT, "fused", None, {}) as run:
        for _ in range(2):  # as after an answer of the server that got lost
            run.log_model("fused", file, inputs[2], model(list(inputs[2].values())))

    (logged,) = mlflow.search_logged_models(
        filter_string=f"source_run_id = '{run.id}'",
        output_format="list",
        experiment_ids=[mlflow.get_run(run.id).info.experiment_id],
    )
    loaded = mlflow.pyfunc.load_model(logged.model_uri)
    for arrays in inputs.values():
        np.testing.assert_array_equal(loaded.predict(arrays)["probabilities"], model(list(arrays.values())))
    signature = loaded.metadata.signature
    assert [(spec.name, spec.shape) for spec in signature.inputs] == [("spectrogram", (-1, 3, 8)), ("tabular", (-1, 4))]
    assert [spec.shape for spec in signature.outputs] == [(-1, 3)]
    np.testing.assert_allclose(loaded.input_example["tabular"], inputs[2]["tabular"])

    folder = Path(mlflow.artifacts.download_artifacts(logged.model_uri, dst_path=str(tmp_path / "logged")))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"MLmodel", "model.onnx"} <= {path.name for path in files}
    assert is_pickle(pickle.dumps(inputs))
    assert not [path for path in files if is_pickle(path.read_bytes()) or zipfile.is_zipfile(path)]
    assert (home / "mlartifacts").is_dir()


@pytest.mark.usefixtures("home")
def test_tables_files_and_folders_are_logged(tmp_path: Path) -> None:
    from pandas import DataFrame

    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "comparison.md").write_text("# Comparison\n")
    with tracking.run(EXPERIMENT, "comparison", None, {}) as run:
        run.log_tables({"per_class.json": DataFrame({"label": ["jazz"], "f1": [0.5]})})
        run.log_file(tmp_path / "reports" / "comparison.md")
        run.log_folder(tmp_path / "reports", "all")
    names = {item.path for item in mlflow.MlflowClient().list_artifacts(run.id)}
    assert names == {"per_class.json", "comparison.md", "all"}
    table = json.loads(mlflow.artifacts.load_text(f"runs:/{run.id}/per_class.json"))
    assert table == {"columns": ["label", "f1"], "data": [["jazz", 0.5]]}


def test_nested_params_are_flat_by_their_full_names() -> None:
    nested = {"seed": 7, "training": {"epochs": 3, "augment": {"gain_db": 0.0}}, "model": {"hidden": [512, 512]}}
    assert tracking.flat(nested) == {
        "seed": 7,
        "training.epochs": 3,
        "training.augment.gain_db": 0.0,
        "model.hidden": [512, 512],
    }


LOCK = """\
schema: '2.0'
stages:
  download:
    cmd: x
    outs:
    - {path: data/audio, md5: aaa.dir}
  inputs:
    cmd: x
    outs:
    - {path: data/inputs, md5: bbb.dir}
  features@tabular:
    cmd: x
    outs:
    - {path: features/tabular, md5: ccc.dir}
  compare:
    cmd: x
    outs:
    - {path: reports/comparison.md, md5: ddd}
"""


def test_tags_tell_what_a_run_was_made_from(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(checkout.parent))
    tags = tracking.lineage("folder")
    assert not [name for name in tags if name.startswith(("git.", "dvc."))], "no git checkout, nothing tracked"
    assert tags["data.source"] == "folder"
    assert tags["version.numpy"] == np.__version__

    def git(*arguments: str) -> str:
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        return subprocess.run(["git", *author, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "start")
    assert tracking.lineage("folder")["git.dirty"] == "false"
    for name in ("metrics/cnn.json", "songs.csv", "lessons/neuron/metrics.json", "lessons/neuron/dvc.lock"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    assert tracking.lineage("folder")["git.dirty"] == "false", "what pipelines write, and a person's list"
    Path("pipeline").mkdir()
    for name in ("pipeline/new.py", "params.yaml"):
        before = Path(name).read_text() if Path(name).exists() else None
        Path(name).write_text("other")
        assert tracking.lineage("folder")["git.dirty"] == "true", name
        Path(name).write_text(before) if before is not None else Path(name).unlink()
    assert tracking.lineage("folder")["git.dirty"] == "false"
    Path("dvc.lock").write_text(LOCK)
    Path("data").mkdir()
    Path("data/music.dvc").write_text("outs:\n- {md5: eee.dir, path: music}\n")
    monkeypatch.setenv("DVC_EXP_NAME", "brown-bear")
    tags = tracking.lineage("folder")
    assert {name: value for name, value in tags.items() if name.startswith("dvc.")} == {
        "dvc.data/audio": "aaa.dir",
        "dvc.features/tabular": "ccc.dir",
        "dvc.data/music": "eee.dir",
        "dvc.exp": "brown-bear",
    }
    assert (tags["git.commit"], tags["git.dirty"]) == (git("rev-parse", "HEAD"), "true")


@pytest.mark.usefixtures("home")
def test_a_history_is_a_point_of_each_curve_for_each_epoch() -> None:
    epochs = range(LARGEST_BATCH)  # two curves of this many points are two requests
    with tracking.run(EXPERIMENT, "neuron", None, {}) as run:
        run.log_history([{"epoch": epoch, "mse": epoch / 2, "m": -epoch} for epoch in epochs])
    history = mlflow.MlflowClient().get_metric_history(run.id, "mse")
    assert [(point.step, point.value) for point in history] == [(epoch, epoch / 2) for epoch in epochs]
    assert mlflow.get_run(run.id).data.metrics == {"mse": epochs[-1] / 2, "m": -epochs[-1]}


def test_asking_git_takes_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC stages dvc.lock while other stages ask, and fails where the index is locked."""
    monkeypatch.chdir(tmp_path)
    for command in (["init", "-q"], ["add", "-A"]):
        (tmp_path / "a.py").write_text("a = 1")
        subprocess.run(["git", *command], check=True)
    os.utime(tmp_path / "a.py", (1, 1))  # git would now write its index anew
    before = (tmp_path / ".git/index").read_bytes()
    assert tracking.is_dirty()
    assert (tmp_path / ".git/index").read_bytes() == before
