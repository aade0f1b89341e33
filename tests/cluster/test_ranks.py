"""Training in two processes is that of one with the same batch; whichever is killed, the same command goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import psutil
import pytest
import torch
import yaml
from leaves import changed
from processes import PATIENCE_S, ROOT, wait_until
from running import split
from tiny import make_features, tiny

from pipeline.base import paths
from pipeline.base.files import remove, write_json

EPOCHS = 20
COMMAND = [sys.executable, "-m", "pipeline.stages", "train", "cnn"]
CNN = {"features": ["spectrogram"], "model": {"name": "cnn", "arch": "compact", "dropout": 0.0}}
Made = Callable[..., None]

SRUN = """#!{python}
# Starts its command as srun does in a job of SLURM, all nodes being this one: it is told of its place, and gets all input.
import os, subprocess, sys, threading
options = dict(word[2:].split("=") for word in sys.argv[1:4])
nodes, tasks = int(options["nodes"]), int(options["ntasks-per-node"])
ranks = [
    subprocess.Popen(sys.argv[4:], stdin=subprocess.PIPE, env=os.environ | {{
        "SLURM_PROCID": str(node * tasks + task), "SLURM_LOCALID": str(task), "SLURM_NODEID": str(node),
        "SLURM_NTASKS": str(nodes * tasks), "SLURM_NTASKS_PER_NODE": str(tasks), "SLURM_NNODES": str(nodes),
        "SLURM_NODELIST": "127.0.0.1",
    }})
    for node in range(nodes) for task in range(tasks)
]
def forward():
    while part := os.read(0, 65536):
        for rank in ranks:
            rank.stdin.write(part)
            rank.stdin.flush()

threading.Thread(target=forward, daemon=True).start()
os._exit(max(rank.wait() for rank in ranks))
"""


@pytest.fixture
def made(checkout: Path, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """``made(devices=2)``: a checkout before the training of a CNN, with these keys of ``training``."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(empty_store, tmp_path / 'runs.db')}")
    assert Path.cwd() == checkout
    make_features()

    def make(**training: object) -> None:
        about = {
            "experiments": {"cnn": CNN},
            "leak": [],
            **{f"training.{key}": value for key, value in training.items()},
        }
        content = changed(tiny(), about)
        del content["tutorial"]
        paths.PARAMS.write_text(yaml.safe_dump(content))
        split()
        write_json(paths.INPUTS / "cnn.json", {})

    return make


def typed(ok: bool = True, **variables: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert (done.returncode == 0) == ok, done.stderr
    return done.stdout + done.stderr


def outputs() -> dict[str, bytes]:
    graphs = {str(file): file.read_bytes() for file in paths.MODELS.rglob("*.onnx")}
    return {**graphs, "history": (paths.HISTORY / "cnn.csv").read_bytes()}


def forget() -> None:
    for folder in (paths.MODELS, paths.HISTORY, paths.cache()):
        remove(folder)


def history() -> pd.DataFrame:
    return pd.read_csv(paths.HISTORY / "cnn.csv")


def runs() -> pd.DataFrame:
    found: pd.DataFrame = mlflow.search_runs(search_all_experiments=True)
    return found


def ranks(of: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The processes that train for it, by rank."""
    children = [child for child in psutil.Process(of.pid).children() if "pipeline.training.ranks" in child.cmdline()]
    return sorted(children, key=lambda child: int(child.environ()["LOCAL_RANK"]))


@pytest.mark.parametrize("sharing", [{"devices": 2}, {"strategy": "ddp"}])
def test_processes_that_share_a_batch_have_the_losses_of_one(made: Made, sharing: dict[str, object]) -> None:
    """Of batches that cannot be halved, of labels of unequal weight, with batch norms."""
    given = {"epochs": 1, "batch_size": 7, "windows_per_clip": 3, "learning_rate": 0.01}
    made(**given)
    typed()
    alone = history()
    forget()
    made(**given, **sharing)
    typed()
    for name in ("train_loss", "valid_loss"):
        np.testing.assert_allclose(history()[name], alone[name], atol=1e-3)
    assert len(history()) == 1
    assert len(runs()) == 2, "one for each command"
    (spec,) = paths.MODELS.rglob("spec.json")
    assert json.loads(spec.read_text())["device"].startswith("2 x cpu" if "devices" in sharing else "cpu")


@pytest.mark.parametrize("victim", [0, 1])
def test_whichever_is_killed_the_same_command_ends_as_an_undisturbed_run(made: Made, victim: int) -> None:
    made(epochs=EPOCHS, devices=2, windows_per_clip=2, monitor="valid_loss")
    typed()
    expected = outputs()
    forget()
    before = set(runs()["run_id"])
    stage = subprocess.Popen(COMMAND, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: [*paths.cache().rglob("last.ckpt")], stage)
    started = ranks(stage)
    assert len(started) == 2
    started[victim].send_signal(signal.SIGKILL)
    _, said = stage.communicate(timeout=PATIENCE_S)
    assert stage.returncode == 1
    assert "error: a process of the training was killed" in said
    assert "the same command goes on after the last epoch" in said
    assert "Traceback" not in said
    assert not any(rank.is_running() for rank in started)
    (last,) = paths.cache().rglob("last.ckpt")
    assert torch.load(last, weights_only=True)["epoch"] < EPOCHS - 1, "it was killed in the middle"
    typed()
    assert outputs() == expected
    (run,) = set(runs()["run_id"]) - before
    steps = [point.step for point in mlflow.MlflowClient().get_metric_history(run, "train/loss")]
    assert steps == list(range(EPOCHS))


def test_no_process_outlives_the_command(made: Made) -> None:
    made(epochs=1000, devices=2)
    stage = subprocess.Popen(COMMAND, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: [*paths.cache().rglob("last.ckpt")], stage)
    started = ranks(stage)
    stage.kill()
    stage.communicate(timeout=PATIENCE_S)
    assert len(started) == 2
    psutil.wait_procs(started, timeout=PATIENCE_S)
    assert not any(rank.is_running() for rank in started)


def test_nodes_are_those_of_a_job_of_slurm(made: Made, tmp_path: Path) -> None:
    given = {"epochs": 2, "batch_size": 8}
    made(**given, devices=2)
    typed()
    expected = outputs()
    forget()
    made(**given, nodes=2)
    said = typed(ok=False)
    assert "error: training.nodes: 2, and this runs on 1: start it in a job of SLURM" in said
    assert "Traceback" not in said
    (tmp_path / "bin").mkdir()
    srun = tmp_path / "bin/srun"
    srun.write_text(SRUN.format(python=sys.executable))
    srun.chmod(0o755)
    path = f"{srun.parent}{os.pathsep}{os.environ['PATH']}"
    typed(PATH=path, SLURM_JOB_ID="7", SLURM_JOB_NUM_NODES="2", SLURM_NTASKS="2", SLURM_JOB_NAME="train")
    assert outputs() == expected, "two processes are two processes"


def test_more_processes_than_clips_are_refused(made: Made) -> None:
    made(devices=30, batch_size=32)
    said = typed(ok=False)
    assert "error: training.devices: 30 processes have but" in said
    assert "Traceback" not in said
