"""Stages run as soon as what they depend on is done, no more of them at a time than asked for: by real DVC, on real stages."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from documented import TERMINAL
from processes import ROOT, wait_until

from pipeline import cli
from pipeline.base.errors import UserError
from pipeline.workflow.scheduler import StageFailed, repro

STAGE = """
import os, pathlib, signal, sys, time
name = sys.argv[1]
log = pathlib.Path("log")
def write(word):
    with log.open("a") as file:
        file.write(f"{word} {name}\\n")
write("begin")
print("chatter of a library")
print("warning: two clips are odd", file=sys.stderr)
print(f"{name}: 12 things made")
if name in pathlib.Path("killed").read_text().split():
    os.kill(os.getpid(), signal.SIGKILL)
if name in pathlib.Path("crashing").read_text().split():
    {}["no such key"]
if name in pathlib.Path("failing").read_text().split():
    sys.exit("error: it failed\\nput it right")
together = int(pathlib.Path("together").read_text())
end = time.monotonic() + 60
while name.startswith("train") and log.read_text().count("begin train") < together and time.monotonic() < end:
    time.sleep(0.05)
pathlib.Path(name).write_text(name)
write("end")
"""
DEPENDS = {
    "data": ["source"],
    "train-a": ["data"],
    "train-b": ["data"],
    "train-c": ["data"],
    "compare": ["train-a", "train-b", "train-c"],
}


@pytest.fixture(scope="module")
def _project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "stage.py").write_text(STAGE)
    (folder / "source").write_text("1")
    (folder / "failing").touch()
    (folder / "crashing").touch()
    (folder / "killed").touch()
    (folder / "together").write_text("1")
    stages = "".join(
        f"  {name}:\n    cmd: python stage.py {name}\n    deps: [{', '.join(deps)}]\n    outs: [{name}]\n"
        for name, deps in DEPENDS.items()
    )
    (folder / "dvc.yaml").write_text(f"stages:\n{stages}")
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=folder, check=True)
    return folder


@pytest.fixture
def project(_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    subprocess.run(["cp", "-r", _project, folder], check=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return folder


def log(project: Path) -> list[str]:
    """What began and ended since it was last asked."""
    file = project / "log"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return lines


def most_at_once(lines: list[str]) -> int:
    changes = [1 if line.startswith("begin") else -1 for line in lines]
    return max(sum(changes[: end + 1]) for end in range(len(changes)))


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_stage_runs_once_behind_what_it_depends_on(project: Path, jobs: int) -> None:
    """A training waits until as many have begun as may run at once."""
    (project / "together").write_text(str(jobs))
    assert repro(jobs, [Path("dvc.yaml")]) == len(DEPENDS)
    lines = log(project)
    assert sorted(lines) == sorted(f"{word} {name}" for name in DEPENDS for word in ("begin", "end"))
    for name, deps in DEPENDS.items():
        for dep in set(deps) & set(DEPENDS):
            assert lines.index(f"end {dep}") < lines.index(f"begin {name}")
    assert most_at_once(lines) == jobs
    assert repro(jobs, [Path("dvc.yaml")]) == 0
    assert log(project) == []


def test_only_what_changed_and_what_depends_on_it_runs_again(project: Path) -> None:
    repro(2, [Path("dvc.yaml")])
    log(project)
    (project / "dvc.yaml").write_text(
        (project / "dvc.yaml").read_text().replace("stage.py train-b", "stage.py train-b  ")
    )
    repro(2, [Path("dvc.yaml")])
    assert {line.split()[1] for line in log(project)} <= {"train-b", "compare"}


def test_nothing_begins_after_a_failure_and_the_same_command_goes_on(project: Path) -> None:
    (project / "failing").write_text("train-c")
    with pytest.raises(StageFailed, match="train-c"):
        repro(2, [Path("dvc.yaml")])
    assert "begin compare" not in log(project)
    (project / "failing").write_text("")
    repro(2, [Path("dvc.yaml")])
    lines = log(project)
    assert "end compare" in lines
    assert "begin data" not in lines


def test_a_file_that_is_not_there_is_named(checkout: Path) -> None:
    with pytest.raises(UserError, match=r"lessons/nueron/dvc\.yaml: no such file"):
        repro(1, [checkout / "lessons/nueron/dvc.yaml"])


def started(project: Path, *before: str) -> "subprocess.Popen[bytes]":
    """`soundtrack repro` in a process of its own."""
    return subprocess.Popen(
        [*before, sys.executable, "-m", "pipeline.cli", "repro", "--jobs", "2", f"{project.name}/dvc.yaml"],
        cwd=project.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


class Typed:
    """``typed()``: what `soundtrack repro`, typed in the folder above the project, prints, and how it ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capfd = monkeypatch, capfd

    def __call__(self, project: Path) -> tuple[str, object]:
        """Output, and exit code or the message instead of one."""
        self._monkeypatch.chdir(project.parent)
        command = ["soundtrack", "repro", "--jobs", "2", f"{project.name}/dvc.yaml"]
        self._monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as end:
            cli.main()
        return "".join(self._capfd.readouterr()), end.value.code


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Typed:
    return Typed(monkeypatch, capfd)


LINE = r"\[{}/5\] project:{} +\d+ s  12 things made"


def test_a_run_prints_one_line_for_each_stage_and_its_warnings(project: Path, typed: Typed) -> None:
    output, code = typed(project)
    assert code == 0
    first, *lines, done, _ = output.splitlines()
    assert first == "5 stages to run, 2 at a time. The output of each is in .cache/logs."
    assert re.fullmatch(LINE.format(1, "data"), lines[0])
    assert re.fullmatch(LINE.format(5, "compare"), lines[8])
    assert [line.strip() for line in lines[1::2]] == ["warning: two clips are odd"] * 5
    assert done.startswith("Done in ")
    stages = (project.parent / ".cache/logs/project-train-a.log").read_text()
    assert "chatter of a library" in stages
    assert "Running stage 'train-a'" in stages
    assert typed(project) == ("Data and pipelines are up to date.\n\n", 0)


def test_a_stage_that_dvc_restores_is_said_to_be(project: Path, typed: Typed) -> None:
    typed(project)
    log(project)
    (project / "train-a").unlink()
    (project / "dvc.lock").unlink()
    output, code = typed(project)
    assert code == 0
    assert len(re.findall(r"restored from DVC's cache$|unchanged$", output, re.MULTILINE)) == 5, output
    assert log(project) == []


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("failing", "it failed\nput it right"),
        ("crashing", "KeyError: 'no such key'"),
        ("killed", "was killed, probably because memory ran out: run fewer stages at a time"),
    ],
)
def test_a_failed_stage_says_why_and_what_to_do(project: Path, typed: Typed, how: str, sentence: str) -> None:
    (project / how).write_text("data")
    output, error = typed(project)
    assert re.search(r"^\[1/5\] project:data +\d+ s  failed$", output, re.MULTILINE)
    assert isinstance(error, str)
    assert error.startswith("error: project:data failed: ")
    assert sentence in error
    assert "Its whole output is in .cache/logs/project-data.log" in error
    assert "run the same command again" in error
    assert len(error.splitlines()) < 16
    (project / how).write_text("")
    assert typed(project)[1] == 0


def test_a_killed_stage_is_told_in_whatever_shell_it_ran(
    project: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell that waits for the stage says 137, one that becomes the stage is killed itself."""
    (project / "killed").write_text("data")
    for shell in (None, "/bin/sh", "bash"):
        if shell:
            monkeypatch.setenv("SHELL", shutil.which(shell) or shell)
        else:
            monkeypatch.delenv("SHELL", raising=False)
        assert "was killed, probably because memory ran out" in str(typed(project)[1]), shell


def test_data_that_are_not_here_are_named_with_what_brings_them(project: Path, typed: Typed) -> None:
    (project / "source").unlink()
    (project / "source").symlink_to("folder/../music")
    error = typed(project)[1]
    assert error == (
        "error: project/music is not here, which project/source leads to: `soundtrack import FOLDER` brings music of yours"
    )
    (project / "music.dvc").touch()
    assert "`dvc checkout project/music.dvc`, or `dvc pull project/music.dvc`" in str(typed(project)[1])
    assert log(project) == []


def test_ctrl_c_ends_all_stages_in_a_sentence_and_the_same_command_goes_on(project: Path, typed: Typed) -> None:
    (project / "together").write_text("9")  # trainings wait for others that never begin
    with started(project) as process:
        # both that run at a time: one that is just starting might not be reached
        wait_until(
            lambda: (project / "log").exists() and (project / "log").read_text().count("begin train") == 2, process
        )
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate()
    assert process.returncode == 1
    assert b"Traceback" not in output
    assert b"stopped. What is done stays done" in output
    (project / "together").write_text("1")
    assert not [line for line in log(project) if line.startswith("end train")]
    assert typed(project)[1] == 0
    assert "begin data" not in log(project)


LIBRARY = """
import pathlib, time
begin = time.monotonic()
while not pathlib.Path({log!r}).exists() and time.monotonic() < begin + 60:
    time.sleep(0.05)
pathlib.Path({told!r}).write_text(str(pathlib.Path({log!r}).exists()))
"""


def test_the_first_stage_does_not_wait_for_the_libraries_of_later_ones(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library takes until then to import."""
    told = project / "told"
    (project.parent / "pytorch_lightning.py").write_text(LIBRARY.format(log=str(project / "log"), told=str(told)))
    monkeypatch.setenv("PYTHONPATH", f"{project.parent}:{ROOT}")
    with started(project) as process:
        output = process.communicate()[0].decode()
    assert process.returncode == 0, output
    if sys.platform == "linux":
        wait_until(told.exists)
        assert told.read_text() == "True"


def test_a_terminal_shows_what_runs_in_one_line_that_never_covers_others(project: Path) -> None:
    sized = ("sh", "-c", 'stty cols 100 rows 30; exec "$@"', "sh")
    with started(project, sys.executable, "-c", TERMINAL, *sized) as process:
        output = process.communicate()[0].decode()
    assert process.returncode == 0
    assert re.search(r"/5 \|.{20}\| project:train-\w \d+ s", output), output
    # what a terminal shows: of each line what was written behind the last return to its start
    lines = [line.rstrip("\r").rpartition("\r")[2].replace("\x1b[A", "") for line in output.split("\n")]
    assert len([line for line in lines if re.match(r"\[\d/5\] project:", line)]) == 5, lines
