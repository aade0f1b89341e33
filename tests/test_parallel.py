"""Worker processes: as many as there are cores to use, and a sentence when one is killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.base import parallel
from pipeline.base.errors import UserError
from pipeline.base.parallel import WORKERS, at_once, cores, quota

NESTED = "4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n0::/\n"
GROUPS: dict[str, tuple[str, dict[str, str], float]] = {
    "version 2, in a container": ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
    "version 2, without a limit": ("0::/\n", {"cpu.max": "max 100000\n"}, float("inf")),
    "version 2, of a service": (
        "0::/system.slice/job.service\n",
        {"system.slice/cpu.max": "200000 100000", "system.slice/job.service/cpu.max": "max 100000"},
        2.0,
    ),
    "version 1, in a container": (
        "4:cpu,cpuacct:/\n",
        {"cpu,cpuacct/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
        0.5,
    ),
    "version 1, where the path is that outside": (
        NESTED,
        {"cpu,cpuacct/cpu.cfs_quota_us": "300000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
        3.0,
    ),
    "version 1, without a limit": (
        "4:cpu:/\n0::/\n",
        {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
        float("inf"),
    ),
    "no groups": ("", {}, float("inf")),
}


@pytest.mark.parametrize("kind", GROUPS)
def test_the_quota_of_control_groups_is_read(kind: str, tmp_path: Path) -> None:
    own, files, expected = GROUPS[kind]
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(own)
    for name, content in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    assert quota(tmp_path) == expected


def test_without_linux_there_is_no_quota(tmp_path: Path) -> None:
    assert quota(tmp_path) == float("inf")


def test_a_quota_and_a_wish_lower_the_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WORKERS, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.setattr(parallel, "quota", lambda: 2.5)
    assert cores() == at_once() == 3
    monkeypatch.setattr(parallel, "quota", lambda: 0.1)
    assert cores() == 1
    monkeypatch.setattr(parallel, "quota", lambda: float("inf"))
    monkeypatch.setenv(WORKERS, "5")
    assert (cores(), at_once()) == (16, 5)
    monkeypatch.setenv(WORKERS, "99")
    assert at_once() == 16


@pytest.mark.parametrize("asked", ["0", "-1", "two", "1.5"])
def test_a_number_that_is_none_is_named(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORKERS, asked)
    with pytest.raises(UserError, match=f"{WORKERS} is '{asked}': give a number"):
        at_once()


def test_a_library_that_is_loaded_later_is_limited_too() -> None:
    code = """
import numpy
from pipeline.base.parallel import blas_threads
with blas_threads(1): pass
import scipy.linalg
from threadpoolctl import threadpool_info
def blas(): return sorted((one["filepath"].rsplit("/", 1)[1][:5], one["num_threads"]) for one in threadpool_info() if one["user_api"] == "blas")
before = blas()
with blas_threads(1): print(len(before), {count for _, count in blas()}, {count for _, count in before})
"""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment["OPENBLAS_NUM_THREADS"] = "2"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "2 {1} {2}", "two libraries, of two threads before and one within"
