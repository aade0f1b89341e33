"""The tracking server fails at each call of each stage: the stage says so in a sentence, and nothing is lost."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from tracking_servers import FAULTS, Proxy, Server, proxy

from pipeline import cli, config, tracking
from pipeline.base import paths
from pipeline.base.files import read_json, write_json
from pipeline.config.project import Params
from pipeline.serving import model_card, ood_evaluation
from pipeline.serving.model_card import Cost
from pipeline.serving.ood_evaluation import Roc
from pipeline.stages import command
from pipeline.tracking import queue, registry
from pipeline.tracking.runs import KIND

KEY = "majority"
EXPERIMENTS = {KEY: {"features": ["tabular"], "model": {"name": "majority"}}}
STAGES = {"train": (KEY,), "evaluate": (KEY,), "leak": (KEY,), "compare": (), "champion": ()}
BEFORE = {"evaluate": ["train"], "compare": ["train", "evaluate", "leak"], "champion": ["train", "evaluate"]}
OPENING = 4
"""Calls of each stage before its work, which all ways are tried at; at the others one way each, in turn."""
EVERY_WAY = "EVERY_WAY" in os.environ
"""Try all ways at each call, which takes an hour."""
SAID = {
    "refused": "does not answer",
    "401": "wants a user name and a password",
    "403": "does not let you write there",
    "404 HTML": "is a web server, but no MLflow|is older than MLflow 3",
    "500": r"error of its own \(HTTP status 500\)",
    "hang": "does not answer",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    found = Server(tmp_path_factory.mktemp("server"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
        found.start()
        with proxy(found.address) as between:
            yield between
        found.stop()


class Walk:
    """A checkout up to the stage to be tried, whose server can fail."""

    def __init__(self, server: Proxy, patch: pytest.MonkeyPatch, read: Callable[[], str]) -> None:
        self.server, self.patch, self.read = server, patch, read
        self.cases, self.seen = 0, set[str]()

    def run(self, *names: str) -> tuple[int, str]:
        """The stage by the command that DVC runs: its exit code, and what it said."""
        self.patch.setattr(sys, "argv", ["stages", *names])
        return self._ended(lambda: command.main("pipeline.stages", config.load))

    def sync(self) -> tuple[int, str]:
        self.patch.setattr(sys, "argv", ["soundtrack", "sync"])
        return self._ended(cli.main)

    def _ended(self, run: Callable[[], None]) -> tuple[int, str]:
        try:
            run()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
            return code, f"{self.read()}{end.code if code else ''}"
        return 0, self.read()

    def prepare(self) -> None:
        """Nothing of earlier cases shows: a run of its own, a model of its own."""
        self.cases += 1
        params = yaml.safe_load(paths.PARAMS.read_text())
        params["champion"]["name"] = f"model {self.cases}"
        paths.PARAMS.write_text(yaml.safe_dump(params))
        tracking.connect(params["tracking"]["experiment"])
        client = mlflow.MlflowClient(self.server.address)
        number = client.get_experiment_by_name(params["tracking"]["experiment"]).experiment_id
        run = client.create_run(number)
        client.log_param(run.info.run_id, "seed", 7)
        for file in paths.MODELS.rglob("*.json"):
            write_json(file, {**read_json(file), "run_id": run.info.run_id})

    def check(self, stage: str) -> None:
        """All that the stage has to log is on the server, once."""
        settings, client = config.load(), mlflow.MlflowClient(self.server.address)
        number = client.get_experiment_by_name(settings.tracking.experiment).experiment_id

        def newest(kind: str) -> Any:
            where = f"tags.{KIND} = '{kind}' and attributes.status = 'FINISHED'"
            return client.search_runs([number], where, order_by=["attributes.start_time DESC"], max_results=1)[0]

        def files(run: Any) -> set[str]:
            return {file.path for file in client.list_artifacts(run.info.run_id)}

        if stage in ("train", "evaluate"):
            run = client.get_run(read_json(paths.MODELS / KEY / paths.RUN)["run_id"])
            assert run.info.status == "FINISHED"
            assert run.data.tags["split.protocol"] == "grouped"
        if stage == "train":
            assert run.data.params["experiment"] == KEY
            assert len(run.inputs.dataset_inputs) == 1
            (model,) = client.search_logged_models([number], f"source_run_id = '{run.info.run_id}'")
            assert model.status == "READY"
        elif stage == "evaluate":
            assert {"test/macro_f1", "valid/macro_f1", "cost/parameters"} <= run.data.metrics.keys()
            assert {"confusion.png", "per_class.json"} <= files(run)
        elif stage == "leak":
            run = newest("leak")
            assert {"leak/gap_macro_f1", "leak/random_macro_f1"} <= run.data.metrics.keys()
        elif stage == "compare":
            run = newest("comparison")
            assert {"figures", "comparison.html", "comparison.md", "audit.md"} <= files(run)
        else:
            version = client.get_model_version_by_alias(settings.champion.name, registry.ALIAS)
            assert "## Scores" in version.description
            run = client.get_run(version.run_id)
            assert {"model-card.md", "ood.png"} <= files(run)
            assert "cost/bundle_mb" in run.data.metrics
        assert run.info.run_id not in self.seen, "a run of this case"
        self.seen.add(run.info.run_id)


@pytest.fixture
def walk(
    setup: Callable[..., None],
    server: Proxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Walk:
    # the clips have no audio
    monkeypatch.setattr(model_card, "measure", lambda *_: Cost(1.5, 0.1, 1.0))
    monkeypatch.setattr(ood_evaluation, "noises", lambda *_: Roc([0.0, 1.0], [0.0, 1.0], 0.5, 0.0, 1))
    # a model's page needs features that this checkout does not have
    monkeypatch.setattr(Params, "model_pages", False)
    setup(leak=[KEY], champion={"min_valid_macro_f1": 0.0}, split={"valid": 0.5, "test": 0.2})
    params = yaml.safe_load(paths.PARAMS.read_text())
    params["experiments"] = EXPERIMENTS
    paths.PARAMS.write_text(yaml.safe_dump(params))
    paths.AUDIT.parent.mkdir()
    paths.AUDIT.write_text("# Audit\n")
    write_json(paths.CHOICE, {"chosen": KEY})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    def read() -> str:
        told = "".join(
            f"warning: {record.getMessage()}\n" for record in caplog.records if record.levelname == "WARNING"
        )
        caplog.clear()
        return "".join(capfd.readouterr()) + told

    # each file of it would be a request of the stage champion
    code = tmp_path / "pipeline"
    (code / "serving").mkdir(parents=True)
    shutil.copy(registry.CODE / "serving/pyfunc.py", code / "serving")
    monkeypatch.setattr(registry, "CODE", code)
    server.heal()
    return Walk(server, monkeypatch, read)


def points(asked: list[str]) -> list[int]:
    """The calls to fail at: all, but of files sent or fetched in a row the first and the last."""
    found: list[int] = []
    for is_file, row in groupby(range(len(asked)), key=lambda number: "mlflow-artifacts" in asked[number]):
        numbers = list(row)
        found += [numbers[0], numbers[-1]] if is_file and len(numbers) > 1 else numbers
    return found


def ways_at(place: int) -> list[list[str]]:
    """The ways to fail at a stage's call of this number: those of one list on the same run, which none of them begins."""
    ways = list(FAULTS)
    if place < OPENING:
        return [ways]
    return [[way] for way in ways] if EVERY_WAY else [[ways[place % len(ways)]]]


@pytest.mark.parametrize("stage", STAGES)
def test_a_server_that_fails_at_any_call_of_a_stage_costs_nothing(
    stage: str, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (stage, *STAGES[stage])
    for before in BEFORE.get(stage, []):
        assert walk.run(before, *STAGES[before])[0] == 0
    walk.prepare()
    walk.server.heal()
    assert walk.run(*names)[0] == 0
    for place, number in enumerate(points(walk.server.asked)):
        for tried in ways_at(place):
            walk.prepare()
            for way in tried:
                # a busy machine must not look like a server that hangs
                monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1" if way == "hang" else "60")
                walk.server.fail(FAULTS[way], number)
                code, said = walk.run(*names)
                if len(walk.server.asked) <= number:
                    return  # the first time there were calls more, which made what is there now
                case = f"{stage}, call {number} ({walk.server.asked[-1:]}), {way}: {code}, {said}"
                assert "Traceback" not in said, case
                sentences = re.findall(r"^(?:warning|error): .*(?:MLflow server|artifact store).*$", said, re.MULTILINE)
                assert 1 <= len(sentences) <= 3, case
                assert all(re.search(f"{SAID[way]}|the artifact store of", sentence) for sentence in sentences), case
                assert (code == 1) == (sentences[-1].startswith("error: ")), case
                assert place >= OPENING or code == 1, f"before the work: {case}"
                assert mlflow.active_run() is None

            walk.server.heal()
            monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
            if code:
                assert walk.run(*names)[0] == 0, case
            assert walk.sync()[0] == 0, case
            assert queue.queues() == [], case
            walk.check(stage)
