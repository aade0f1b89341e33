"""Commands that share a sweep in PostgreSQL lose no trial and do none twice, though one of them is killed."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
import optuna
import pytest
import sqlalchemy
import yaml
from leaves import changed
from optuna.trial import TrialState
from processes import PATIENCE_S, ROOT, free_port, wait_until
from running import split
from tiny import make_features, tiny

from pipeline import config
from pipeline.base import paths
from pipeline.sweeps import study
from pipeline.sweeps.plan import Plan
from pipeline.sweeps.study import Study

TRIALS, MACHINES = 20, 12
RUNNING = "SELECT count(*) FROM trials WHERE state = 'RUNNING'"
SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
MLP = {
    "features": ["tabular"],
    "model": {"name": "mlp", "hidden": [8], "dropout": 0.1},
    "training": {"epochs": 30, "learning_rate": 0.003},
}
SPACE = {
    "training.learning_rate": {"low": 0.0001, "high": 0.1, "log": True},
    "model.dropout": {"low": 0.0, "high": 0.8},
}
Machines = Callable[[str, int], list[Path]]
Sweep = Callable[[Path], "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The URL of an empty database, of a server that has a password."""
    pytest.importorskip("psycopg", reason="pip install '.[postgresql]'")
    if not SERVERS:
        pytest.skip("no PostgreSQL: apt install postgresql")
    folder, port = Path(tempfile.mkdtemp(prefix="postgresql-")), free_port()
    # it does not run as root
    user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    if user:
        shutil.chown(folder, "postgres", "postgres")
    password = folder / "password"
    password.write_text("secret")
    password.chmod(0o644)

    def run(program: str, *options: str) -> None:
        command = [str(SERVERS[-1] / program), *options]
        subprocess.run(
            command, cwd=folder, check=True, capture_output=True, env={**os.environ, "PGPASSWORD": "secret"}, **user
        )

    data = str(folder / "data")
    run("initdb", "-D", data, "-U", "me", "--auth", "scram-sha-256", "--pwfile", str(password))
    own = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
    run("pg_ctl", "-D", data, "-w", "-l", f"{folder}/log", "-o", own, "start")
    try:
        run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "me", "soundtrack")
        yield f"postgresql://me:secret@127.0.0.1:{port}/soundtrack"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture
def machines(checkout: Path, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    """``machines(storage, 4)``: as many checkouts of one commit, on the same data, which log to one MLflow store."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(empty_store, tmp_path / 'runs.db')}")

    def make(storage: str, count: int) -> list[Path]:
        sweeps = {"storage": storage, "mlp": {"trials": TRIALS, "space": SPACE}}
        content = changed(tiny(), {"experiments": {"mlp": MLP}, "leak": [], "sweeps": sweeps, "split.folds": 1})
        del content["tutorial"]
        paths.PARAMS.write_text(yaml.safe_dump(content))
        make_features()
        split()
        return [Path(shutil.copytree(checkout, tmp_path / f"machine {number}")) for number in range(count)]

    return make


@pytest.fixture
def sweep() -> Iterator[Sweep]:
    """``sweep(machine)``: the command there, which the test ends with."""
    started: list[subprocess.Popen[str]] = []

    def start(machine: Path) -> "subprocess.Popen[str]":
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "pipeline.cli", "sweep", "mlp"],
                cwd=machine,
                env={**os.environ, "PYTHONPATH": str(ROOT), "DVC_ROOT": str(machine)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    yield start
    for command in started:
        with suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGKILL)


def test_four_commands_share_a_sweep_and_one_is_killed(postgresql: str, machines: Machines, sweep: Sweep) -> None:
    commands = [sweep(machine) for machine in machines(postgresql, 4)]
    engine = sqlalchemy.create_engine(postgresql)

    def running() -> int:
        with suppress(sqlalchemy.exc.ProgrammingError), engine.connect() as connection:  # no tables yet
            return int(connection.execute(sqlalchemy.text(RUNNING)).scalar_one())
        return 0

    wait_until(lambda: running() == 4, commands[0])
    os.killpg(commands[2].pid, signal.SIGKILL)
    printed = [command.communicate(timeout=PATIENCE_S)[0] for command in commands]
    assert [command.returncode for command in commands] == [0, 0, -signal.SIGKILL, 0], printed
    (name,) = optuna.get_all_study_names(postgresql)
    ended = optuna.load_study(study_name=name, storage=postgresql).get_trials()
    states = [one.state for one in ended]
    assert states.count(TrialState.COMPLETE) + states.count(TrialState.PRUNED) == TRIALS
    (lost,) = [one for one in ended if one.state == TrialState.FAIL]
    (again,) = [one for one in ended if one.params == lost.params and one is not lost]
    assert again.state in (TrialState.COMPLETE, TrialState.PRUNED), "what the killed one held was given back"
    assert len({str(one.params) for one in ended}) == TRIALS, "none twice"
    for number in (0, 1, 3):
        assert f"{TRIALS} trials: " in printed[number]
        assert "Traceback" not in printed[number]
    table = mlflow.search_runs(search_all_experiments=True)
    below = table[table["tags.mlflow.parentRunId"].notna()]
    assert len(table) - len(below) == 1, "one run of the sweep"
    assert len(below) == TRIALS
    assert below["tags.mlflow.runName"].is_unique
    assert set(below["tags.state"]) <= {"complete", "pruned"}


def test_machines_that_start_together_make_the_tables_together(postgresql: str) -> None:
    with sqlalchemy.create_engine(postgresql, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(sqlalchemy.text("CREATE DATABASE together"))
    empty = postgresql.replace("/soundtrack", "/together")
    with ThreadPoolExecutor(MACHINES) as machines:
        assert len([*machines.map(study._storage, [empty] * MACHINES)]) == MACHINES


def test_a_trial_is_said_to_run_as_long_as_it_does(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the others would take it for that of a dead one after a minute."""
    storage = f"sqlite:///{tmp_path}/sweeps.db"
    (machine,) = machines(storage, 1)
    monkeypatch.chdir(machine)
    monkeypatch.setattr(study, "BEAT_S", 0.1)
    own, engine = Study(Plan(config.load(), "mlp")), sqlalchemy.create_engine(storage)

    def heard() -> str:
        with engine.connect() as connection:
            return str(connection.execute(sqlalchemy.text("SELECT heartbeat FROM trial_heartbeats")).scalar_one())

    trial = own.ask(TRIALS)
    assert trial is not None
    began = heard()
    with own.alive(trial):
        wait_until(lambda: heard() > began)


def test_a_storage_that_cannot_be_used_is_named_without_its_password(
    postgresql: str, machines: Machines, sweep: Sweep
) -> None:
    for storage, cause in (
        (postgresql.replace("secret", "wrong"), "password authentication failed"),
        (f"postgresql://me:secret@127.0.0.1:{free_port()}/soundtrack", "refused"),
        (postgresql.replace("/soundtrack", "/nothing"), "does not exist"),
        ("nonsense://me:secret@host/x", "nonsense"),
        ("oracle://me:secret@host/x", "No module named"),
    ):
        (machine,) = machines(storage, 1)
        command = sweep(machine)
        said, _ = command.communicate(timeout=PATIENCE_S)
        shutil.rmtree(machine)
        assert command.returncode == 1, said
        assert said.startswith("error: sweeps.storage"), said
        assert cause in said
        assert "Traceback" not in said
        assert "secret" not in said
