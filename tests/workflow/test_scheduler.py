"""Stages run as soon as what they depend on is done, no more of them at a time than asked for."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from processes import wait_until

from pipeline.errors import UserError
from pipeline.workflow import scheduler
from pipeline.workflow.scheduler import StageFailed, needed, repro

GRAPH = {
    "data": set[str](),
    "features": {"data"},
    "train@a": {"features"},
    "train@b": {"features"},
    "train@c": {"features"},
    "compare": {"train@a", "train@b", "train@c"},
}


class Stages:
    """Stands for DVC: writes down what began and ended, and how many ran at once."""

    def __init__(self, expected: int, failing: str = "") -> None:
        """
        Args:
            expected: so many trainings run at once; each waits until that has been seen.
            failing: while it runs, the others wait for its end to be seen.
        """
        self.expected, self.failing, self.lock = expected, failing, threading.Lock()
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.futures: dict[str, Future[int]] = {}
        self.most = 0

    def __call__(self, stage: str) -> int:
        with self.lock:
            assert GRAPH[stage] <= set(self.ended)
            self.begun.append(stage)
            self.most = max(self.most, len(self.begun) - len(self.ended))
        if stage.startswith("train"):
            wait_until(lambda: self.most >= self.expected)
            if self.failing and stage != self.failing:
                wait_until(lambda: self.failing in self.futures and self.futures[self.failing].done())
            elif not self.failing:
                time.sleep(0.2)  # in which one too many would begin
        with self.lock:
            self.ended.append(stage)
        return int(stage == self.failing)

    def pool(self, jobs: int) -> ThreadPoolExecutor:
        stages = self

        class Pool(ThreadPoolExecutor):
            def submit(self, function: Any, /, *given: Any, **named: Any) -> Any:
                future = stages.futures[given[0]] = super().submit(function, *given, **named)
                return future

        return Pool(jobs)


def run(monkeypatch: pytest.MonkeyPatch, stages: Stages, jobs: int) -> Stages:
    monkeypatch.setattr(scheduler, "_graph", lambda _: (GRAPH, {"data"}))
    monkeypatch.setattr(scheduler, "_reproduce", stages)
    monkeypatch.setattr(scheduler, "_processes", stages.pool)
    assert repro(jobs, []) == len(GRAPH)
    return stages


@pytest.mark.parametrize(("jobs", "most"), [(1, 1), (2, 2), (8, 3)])
def test_every_stage_runs_once_behind_what_it_depends_on(
    monkeypatch: pytest.MonkeyPatch, jobs: int, most: int
) -> None:
    stages = run(monkeypatch, Stages(most), jobs)
    assert sorted(stages.begun) == sorted(GRAPH)
    assert stages.most == most
    assert set(stages.begun[2 : 2 + most]) == set(list(GRAPH)[-1 - most : -1]), "the costly ones first"


def test_nothing_begins_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = Stages(2, failing="train@b")
    with pytest.raises(StageFailed, match="train@b"):
        run(monkeypatch, stages, 2)
    assert sorted(stages.ended) == ["data", "features", "train@b", "train@c"]


def test_a_file_that_is_not_there_is_named(checkout: Path) -> None:
    with pytest.raises(UserError, match=r"lessons/nueron/dvc\.yaml: no such file"):
        repro(1, [checkout / "lessons/nueron/dvc.yaml"])


def test_only_what_changed_and_what_depends_on_it_is_looked_at() -> None:
    assert needed(GRAPH, set()) == {}
    assert needed(GRAPH, {"train@b"}) == {"train@b": set(), "compare": {"train@b"}}
    assert needed(GRAPH, {"compare", "features"}) == {
        stage: before - {"data"} for stage, before in GRAPH.items() if stage != "data"
    }


def test_a_file_of_params_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And anew the next time, when it may have changed."""
    from dvc.dependency import param

    read: list[str] = []

    def counted(path: str, _: object) -> dict[str, int]:
        read.append(path)
        return {"seed": len(read)}

    monkeypatch.setattr(param, "load_path", counted)
    for time_ in (1, 2):
        with scheduler._params_read_once():
            assert [param.read_param_file(None, "params.yaml", ["seed"], flatten=True) for _ in range(3)] == [
                {"seed": time_}
            ] * 3
    assert param.load_path is counted
