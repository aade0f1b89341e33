"""Stages in forks of a preloaded process end as stages of their own do."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from processes import wait_until

from pipeline.workflow import prefork

ROOT = Path(__file__).parents[2]
STAGE = "train"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no process is preloaded")


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A command that asks the server for the stage `train` of a package in the working folder."""
    monkeypatch.setattr(prefork, "LIBRARIES", ())
    package = tmp_path / "stages"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("from pipeline.stages.command import main\nmain('stages', lambda: None)\n")
    (package / f"{STAGE}.py").write_text(
        "import gc, os, pathlib, sys, time\n"
        "from pipeline.base.errors import UserError\n"
        "def train(params, key):\n"
        "    pathlib.Path(f'seen-{key}').write_text(f\"{os.getpid()} {os.environ['DVC_STAGE']}\")\n"
        "    print(f'train@{key}: done', flush=True)\n"
        "    if key == 'frozen':\n"
        "        print(gc.get_freeze_count(), flush=True)\n"
        "    if key == 'wrong':\n"
        "        raise UserError('wrong.csv: no such file')\n"
        "    if key == 'large':\n"
        "        os.kill(os.getpid(), 9)\n"
        "    if key == 'long':\n"
        "        time.sleep(600)\n"
    )
    with prefork.server() as address:
        monkeypatch.setenv(prefork.SERVER, address)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        monkeypatch.setenv("DVC_STAGE", "train@a")
        monkeypatch.chdir(tmp_path)
        yield [sys.executable, "-m", "stages", STAGE]


def test_a_stage_has_the_folder_and_the_environment_of_the_command(ask: list[str], tmp_path: Path) -> None:
    with subprocess.Popen([*ask, "a"]) as asking:
        assert asking.wait() == 0
    process, stage = (tmp_path / "seen-a").read_text().split()
    assert stage == "train@a"
    assert int(process) not in (asking.pid, os.getpid()), "it ran in a process of the server's"


def test_garbage_is_not_looked_for_among_what_was_preloaded(ask: list[str]) -> None:
    done = subprocess.run([*ask, "frozen"], capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) > 1000


def test_a_stage_prints_where_the_command_does(ask: list[str], tmp_path: Path) -> None:
    done = subprocess.run([*ask, "wrong"], capture_output=True, text=True, check=False)
    assert done.stdout == "train@wrong: done\n"
    assert done.stderr == "error: wrong.csv: no such file\n"
    with (tmp_path / "log").open("ab") as log:
        subprocess.run([*ask, "a"], stdout=log, check=True)
    assert (tmp_path / "log").read_text() == "train@a: done\n"


def test_a_failing_stage_fails_the_command(ask: list[str]) -> None:
    assert subprocess.run([*ask, "wrong"], check=False).returncode == 1


def test_a_stage_that_is_killed_for_lack_of_memory_is_said_to_be(ask: list[str]) -> None:
    done = subprocess.run([*ask, "large"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: was killed, probably because memory ran out: run fewer stages at a time")
    assert "Traceback" not in done.stderr


def test_stages_that_end_while_others_begin_have_not_failed(ask: list[str]) -> None:
    with ThreadPoolExecutor(4) as threads:
        done = [threads.submit(subprocess.run, [*ask, str(number)], check=False) for number in range(40)]
        assert {one.result().returncode for one in done} == {0}


def test_a_stage_ends_with_the_command_that_asked_for_it(ask: list[str], tmp_path: Path) -> None:
    seen = tmp_path / "seen-long"
    with subprocess.Popen([*ask, "long"]) as asking:
        wait_until(lambda: seen.exists() and seen.read_text() != "")
        asking.kill()
    process = Path("/proc") / seen.read_text().split()[0]
    wait_until(lambda: not process.exists())


def test_without_a_server_the_command_runs_the_stage_itself(
    ask: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(prefork.SERVER)
    with subprocess.Popen([*ask, "a"]) as alone:
        assert alone.wait() == 0
    assert int((tmp_path / "seen-a").read_text().split()[0]) == alone.pid


def test_what_make_install_compiles_leaves_numba_alone() -> None:
    """Another process fills numba's cache meanwhile; both together left one that crashed every later process."""
    code = (
        "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint('numba' in sys.modules)"
    )
    command = [sys.executable, "-c", code, *prefork.LIBRARIES, *prefork.FIRST_RUN]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1] == "False"
