"""Stages run as DVC runs them, but in this process, each in a copy of one checkout of tiny data."""

import hashlib
import io
import json
import os
import re
import runpy
import shutil
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.figure import Figure
from rows import CHAMPIONS, RUNS, TRIED, Params

from pipeline import cli, tracking
from pipeline.base import paths
from pipeline.config.experiment import Experiment
from pipeline.features.store import ARRAY, Store
from pipeline.sweeps import command, workers
from pipeline.tracking import registry
from pipeline.training.ensemble import Trained
from pipeline.training.splits import Splits
from tutorial import paths as tutorial

Left = dict[str, str]
"""By name of a file its content as JSON, of features their means, else its digest; and by the words of ``rows`` what they
stand for."""
ERROR, SAID = "error", "said"
OUTPUTS = (
    "data/**/*",
    "features/**/*",
    "weights/**/*",
    "models/**/*",
    "history/*",
    "embeddings/**/*",
    "evaluation/**/*",
    "tutorial/results/**/*",
    "candidate/*",
    "reports/*",
)


class Server(ThreadingHTTPServer):
    """Notes what it is asked for, also as a proxy, and has none of it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_error(404)

    do_HEAD = do_CONNECT = do_GET

    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Workshop:
    """Work on ``home``, a checkout, whose cache and MLflow store all runs share, as those of `dvc exp run --temp` do."""

    def __init__(self, home: Path, base: Params, server: Server) -> None:
        self.home, self.base, self.server = home, base, server
        self._known: dict[str, Left] = {}
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(__file__).parents[2] / paths.GENRES, home)

    def make(self, *stages: str) -> None:
        """Run these in the checkout itself, with the base's params, for others to work on what they leave."""
        for stage in stages:
            left = self._run(stage, self.base, self.home)
            assert ERROR not in left, f"{stage}: {left[ERROR]}"

    def left(self, stage: str, params: Params) -> Left:
        """What a stage leaves; what it left with the same params before is known."""
        key = json.dumps([stage, params])
        if key not in self._known:
            self._known[key] = self.again(stage, params)
        return self._known[key]

    def again(self, stage: str, params: Params) -> Left:
        with tempfile.TemporaryDirectory(dir=self.home.parent) as folder:
            copy = Path(folder) / "checkout"
            skipped = shutil.ignore_patterns(".cache", "mlartifacts", "*.db")
            # stages replace files and write into none
            shutil.copytree(self.home, copy, copy_function=os.link, ignore=skipped)
            return self._run(stage, params, copy)

    def _run(self, stage: str, params: Params, folder: Path) -> Left:
        name, *keys = re.split("[@ ]", stage)
        tried: list[str] = []
        self.server.asked.clear()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as said:
            patch.chdir(folder)
            self._offline(patch)
            patch.setenv("DVC_ROOT", str(self.home))
            patch.delenv("MLFLOW_TRACKING_URI", raising=False)
            write_params(Path(), _own(params, *keys))
            # takes a third of a training's time, and shows in no row
            patch.setattr(tracking.Run, "log_model", lambda *_: None)
            if name == "sweep":
                # a process of its own would not tell; what a trial scores is no matter here
                patch.setattr(command, "run_workers", workers.run_trials)
                patch.setattr(workers, "train_trial", lambda *given: _instead(tried, *given))
                patch.setattr(workers, "answers", _first_label)
                patch.setattr(command, "draw", lambda *_: Figure())  # it takes half of the time
                patch.setattr(sys, "argv", ["soundtrack", name, *keys])
                error = _ended(cli.main)
            else:
                package, stage = ("tutorial", "train") if name == "tutorial" else ("pipeline", name)
                for one in ("compare", "champion") if name == "champion" else (stage,):
                    patch.setattr(sys, "argv", ["stages", one, *keys])
                    error = _ended(lambda: runpy.run_module(f"{package}.stages", run_name="__main__"))
            left = _files()
            if name in ("evaluate", "champion"):
                left |= _store()
        asked = [f"asked: {path}" for path in self.server.asked]
        left |= {SAID: "\n".join([said.getvalue(), error, *asked]), TRIED: "\n".join(tried)}
        return left | ({ERROR: error} if error else {})

    def _offline(self, patch: pytest.MonkeyPatch) -> None:
        """Let the server stand for all hosts there are."""
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            patch.setenv(name, self.server.url)
        for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY", "PIP_NO_INDEX", "PIP_FIND_LINKS"):
            patch.delenv(name, raising=False)
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("PIP_INDEX_URL", "http://index.test/simple")
        patch.setenv("PIP_TRUSTED_HOST", "index.test")
        patch.setattr(huggingface_hub.constants, "ENDPOINT", "http://hub.test")
        patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(self.home.parent / "hub"))
        huggingface_hub.close_session()  # which knows an earlier proxy


def _own(params: Params, key: str = "") -> Params:
    """What a stage of one experiment reads of them; to read all of them would take it a third of its time."""
    if key not in params["experiments"]:
        return params
    theirs = params["tutorial"]["experiments"]
    tutorial = {**params["tutorial"], "experiments": {key: theirs[key]} if key in theirs else {}}
    return {**params, "experiments": {key: params["experiments"][key]}, "tutorial": tutorial, "leak": []}


def write_params(checkout: Path, params: Params) -> None:
    """What is below ``tutorial`` goes into the tutorial's file. Files that are links to another checkout's are replaced."""
    own = {key: value for key, value in params.items() if key != "tutorial"}
    for file, content in ((paths.PARAMS, own), (tutorial.PARAMS, params["tutorial"])):
        (checkout / file).parent.mkdir(exist_ok=True)
        (checkout / file).unlink(missing_ok=True)
        (checkout / file).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def shown(left: Left, pattern: str) -> Left:
    """What of it a row looks at."""
    file, _, key = pattern.partition(":")
    found = {name: content for name, content in left.items() if fnmatch(name, file)}
    return {name: str(json.loads(content)[key]) for name, content in found.items()} if key else found


def _ended(run: Any) -> str:
    """What it ended with, where that was an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*found in sys.modules.*")  # runpy, of what others import too
        try:
            run()
        except SystemExit as end:
            return str(end.code or "")
    return ""


def _files() -> Left:
    files = {file for pattern in OUTPUTS for file in Path().glob(pattern) if file.is_file()}
    return {file.as_posix(): _content(file) for file in sorted(files)}


def _content(file: Path) -> str:
    if file.suffix == ".json":
        return file.read_text(encoding="utf-8")
    if file.suffix == ".parquet":
        table = pd.read_parquet(file)
        return json.dumps({name: table[name].astype(str).tolist() for name in table})
    if file.parent.parent == paths.FEATURES and file.name == ARRAY:
        # to three digits: with other lengths of FFT the last ones differ
        array = Store(file.parent).array.astype(np.float64)
        return " ".join([str(array.shape), *(f"{mean:.3g}" for mean in array.mean(axis=0))])
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _store() -> Left:
    """Of the MLflow store."""
    client = mlflow.MlflowClient(tracking.uri())
    runs = [one.name for one in client.search_experiments() if client.search_runs([one.experiment_id])]
    champions = [one.name for one in client.search_registered_models() if registry.ALIAS in one.aliases]
    return {RUNS: " ".join(sorted(runs)), CHAMPIONS: " ".join(sorted(champions))}


def _instead(tried: list[str], experiment: Experiment, *_: Any) -> Trained:
    """Of a training, what it was to train."""
    tried.append(experiment.model_dump_json())
    net: Any = None
    return Trained(net, pd.DataFrame())


def _first_label(_: Any, data: Splits, *__: Any) -> Any:
    """Which each clip of valid gets."""
    return np.eye(len(data.labels))[np.zeros(len(data.clips["valid"]), dtype=int)]
