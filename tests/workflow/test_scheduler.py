"""Stages run as soon as what they depend on is done, no more of them at a time than asked for: by real DVC, on real stages."""

import subprocess
import sys
from pathlib import Path

import pytest
from processes import ROOT

from pipeline.base.errors import UserError
from pipeline.workflow.scheduler import StageFailed, repro

STAGE = """
import pathlib, sys, time
name = sys.argv[1]
log = pathlib.Path("log")
def write(word):
    with log.open("a") as file:
        file.write(f"{word} {name}\\n")
write("begin")
if name in pathlib.Path("failing").read_text().split():
    sys.exit("it failed")
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
