"""Nothing is unpickled, nothing reports home, no server listens to the network."""

import ast
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.base import addresses
from pipeline.config.training import Training
from pipeline.training.dataset import Windows
from pipeline.training.trainer import fit

ROOT = Path(__file__).parents[1]
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def calls() -> list[tuple[str, str, ast.Call]]:
    """File, dotted name and node of each call in the code that people run."""
    found = []
    for file in [*ROOT.joinpath("pipeline").rglob("*.py"), *ROOT.joinpath("benchmarks").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                found.append((file.name, ast.unparse(node.func), node))
    return found


def test_the_code_unpickles_nothing() -> None:
    for file in ROOT.joinpath("pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            unpickled = PICKLES & {name.split(".")[0] for name in names}
            # ranks: what the process that started this one sends it by a pipe
            assert not unpickled or file.name == "ranks.py", file
    loads = [(where, node) for where, name, node in calls() if name in ("torch.load", "trainer.fit")]
    assert len(loads) == 2
    for where, node in loads:
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        assert given.get("weights_only") == "True", where
    for where, name, node in calls():
        assert not {"allow_pickle", "shell"} & {keyword.arg for keyword in node.keywords}, where
        assert name not in ("eval", "exec", "yaml.unsafe_load", "pd.read_pickle"), where


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return (os.mkdir, (str(self.file),))


def test_a_checkpoint_runs_no_code(tmp_path: Path, training: Callable[..., Training]) -> None:
    class Nothing(Windows):
        def __init__(self) -> None:
            self.targets = torch.zeros(4, dtype=torch.long).numpy()
            self.max_offset = self.targets
            self.frames, self.sources = 1, ()

    work = tmp_path / "work"
    work.mkdir()
    torch.save({"state_dict": Bomb(tmp_path / "exploded")}, work / "last.ckpt")
    net = torch.nn.Linear(2, 2)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        fit(net, Nothing(), Nothing(), training(epochs=1), 7, work, lambda *_: None)
    assert not (tmp_path / "exploded").exists()


def test_servers_listen_to_this_machine_alone() -> None:
    assert addresses.HOST == "127.0.0.1"
    assert '["--host", HOST,' in (ROOT / "pipeline/tracking/ui.py").read_text()
    assert '["--host", HOST,' in (ROOT / "pipeline/library/commands.py").read_text()
    runs = [node for _, name, node in calls() if name == "uvicorn.run"]
    assert runs
    for node in runs:
        assert {"host": "'127.0.0.1'"}.items() <= {
            keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords
        }.items()


def test_usage_is_not_reported() -> None:
    config = ConfigParser()
    config.read_string((ROOT / ".dvc/config").read_text().replace("    ", ""))
    assert config["core"]["analytics"] == "false"
    code = "import os, pipeline.tracking; print(os.environ['MLFLOW_DISABLE_TELEMETRY'])"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "true\n"
