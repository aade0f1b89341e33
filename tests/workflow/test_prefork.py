"""Stages in forks of a preloaded process end as stages of their own do."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from dvc.stage import run

from pipeline.workflow import prefork

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere stages begin cold")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(run, "_run", run._run)  # put back after the test
    monkeypatch.setattr(prefork, "LIBRARIES", ())
    with prefork.starter() as address:
        prefork.use(address)
        yield


def execute(command: str, folder: Path, **environment: str) -> None:
    run._run(
        "/bin/sh", command, cwd=str(folder), env={**os.environ, **environment}, close_fds=True, shell=False
    )


def test_a_failing_stage_is_an_error_with_its_message(checkout: Path) -> None:
    """In a process of its own, since forks write to where the first of them did."""
    script = (
        "import os; from dvc.stage import run; from pipeline import warm; warm.LIBRARIES = ()\n"
        "with warm.starter() as address: warm.use(address); "
        "run._run('/bin/sh', 'python -m pipeline.stages.train nonsense', cwd='.', env=dict(os.environ))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "error: " in done.stderr
    assert done.stderr.strip().endswith("exited with 1")


@pytest.mark.usefixtures("command")
def test_the_working_folder_and_the_environment_are_those_of_dvc(tmp_path: Path) -> None:
    """Seen in a project of its own, whose stage `train` writes down where it runs."""
    stages = tmp_path / "stages"
    stages.mkdir()
    (stages / "train.py").write_text(
        "import os, pathlib, sys\n"
        "pathlib.Path('seen').write_text(' '.join([__name__, os.environ['DVC_STAGE'], *sys.argv[1:]]))\n"
    )
    here = Path.cwd()
    execute("python -m stages.train a 'b c'", tmp_path, DVC_STAGE="train@a")
    assert (tmp_path / "seen").read_text() == "__main__ train@a a b c"
    assert Path.cwd() == here
    assert "DVC_STAGE" not in os.environ


def test_stages_that_end_while_others_begin_have_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefork, "LIBRARIES", (prefork.__name__,))
    (tmp_path / "quick.py").touch()
    monkeypatch.setattr(prefork, "STAGES", ("quick",))
    monkeypatch.setattr(run, "_run", run._run)
    with prefork.starter() as address, ThreadPoolExecutor(4) as stages:
        prefork.use(address)
        for done in [stages.submit(execute, "python -m quick", tmp_path) for _ in range(100)]:
            done.result()


@pytest.mark.usefixtures("command")
def test_other_commands_are_run_as_ever(tmp_path: Path) -> None:
    execute("python -m pipeline.stages.features --help > help.txt", tmp_path)
    assert "features" in (tmp_path / "help.txt").read_text()
    execute("echo done > done.txt", tmp_path)
    assert (tmp_path / "done.txt").exists()
