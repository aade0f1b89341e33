"""Checkouts of this working tree with tiny music in them, and commands run there as a user would."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
import yaml

from pipeline.workflow.console import DVC_SKIPPED

ROOT = Path(__file__).parents[2]
RATE = 22050
CHORDS = {"low": (110.0, 165.0), "middle": (440.0, 554.0), "high": (1760.0, 2637.0)}
CLIPS = 8
NOTHING = "Data and pipelines are up to date."

TINY_FEATURES: dict[str, Any] = {
    "sample_rate": RATE,
    "excerpt": "whole",
    "tabular": {"n_fft": 2048, "hop_length": 512},
    "spectrogram": {"n_fft": 2048, "hop_length": 512, "bands": 32, "top_db": 80.0},
    "wavelet": {"hop_length": 512, "bands": 32, "bands_per_octave": 4, "omega0": 6.0, "fmin": 32.703, "top_db": 80.0},
    "musicnn": None,
    "fbank": None,
    "waveform": None,
}


def environment(folder: Path) -> dict[str, str]:
    """That of a user in ``folder``, a checkout or a folder of one, with the virtual environment on the path."""
    checkout = next((place for place in (folder, *folder.parents) if (place / "pipeline").is_dir()), folder)
    users = {
        name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "MAKE", "MFLAGS"))
    }
    ours = {"PYTHONPATH": str(checkout), "MLFLOW_DISABLE_TELEMETRY": "true", "DVC_NO_ANALYTICS": "1"}
    return users | ours | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def run(
    folder: Path, *command: str, ok: bool = True, answer: str = "", variables: Mapping[str, str] | None = None
) -> str:
    """Run a command as a user in ``folder``, a checkout or a folder of one, would, and give what it printed.

    Args:
        answer: What the user types when asked.
        variables: Changes to the environment.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(folder) | dict(variables or {}),
        text=True,
        input=answer,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert not ok or done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout[-6000:]}"
    return done.stdout


def ran(output: str) -> list[str]:
    """Names of the stages that ran, by what DVC or `soundtrack repro` printed."""
    ended = re.findall(r"^\[ *\d+/\d+\] (?:\S+:)?(\S+) +(.*)", output, re.MULTILINE)
    ours = [stage for stage, rest in ended if not rest.endswith(tuple(DVC_SKIPPED.values()))]
    return [*re.findall(r"Running stage '(.+?)'", output), *ours]


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
            signal = 0.1 * chord * (1 + 0.3 * np.sin(2 * np.pi * (2 + clip) * time)) + 0.01 * rng.normal(size=len(time))
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
    content["window"] = {"frames": 32, "musicnn": 32, "fbank": 32, "waveform": 8000}
    content["weights"] = {"mobilenet_v2": {"source": "path", "path": "backbone"}}
    content["split"]["folds"] = 1  # one training of each experiment; tests of folds ask for them
    content["leak"] = ["logreg"]
    content["sweeps"] = {}
    for key in ("cnn", "transfer"):
        del content["experiments"][key]
    content["training"] |= {"epochs": 2, "batch_size": 8, "threads": 1, "accelerator": "cpu"}
    for experiment in content["experiments"].values():
        experiment.pop("training", None)


def link_environment(folder: Path) -> None:
    """``.venv`` as `make install` leaves it, of links to the environment that runs the tests."""
    (folder / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (folder / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    (folder / ".venv/installed").touch()


def begin(top: Path) -> Path:
    """A checkout into which tiny music was imported, all of it committed, as ``top/checkout``."""
    checkout = top / "checkout"
    listed = run(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists() or (ROOT / name).is_symlink():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, checkout / name, follow_symlinks=False)
    (checkout / "dvc.lock").unlink(missing_ok=True)
    link_environment(checkout)
    run(checkout, "git", "init", "--quiet")
    for key, value in (("user.name", "Test"), ("user.email", "test@example.org")):
        run(checkout, "git", "config", key, value)
    make_backbone(checkout / "backbone")
    make_music(top / "music")
    edit_params(checkout, make_tiny)
    commit(checkout, "tiny")
    run(checkout, sys.executable, "-m", "pipeline.cli", "import", str(top / "music"))
    commit(checkout, "music")
    return checkout


def finish(top: Path) -> None:
    """The same after the README's command, whose output is kept as ``top/make-repro.txt``."""
    checkout = begin(top)
    (top / "make-repro.txt").write_text(run(checkout, "bash", "-ec", "make repro"))
    commit(checkout, "first version")
