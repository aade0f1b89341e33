"""What a run was made from: the git commit, DVC's md5 of data and features, the versions of libraries."""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import lru_cache
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from filelock import FileLock, Timeout

from pipeline.base import paths

if TYPE_CHECKING:
    import pandas as pd

LIBRARIES = ("torch", "pytorch-lightning", "librosa", "scikit-learn", "mlflow", "dvc", "numpy", "pandas")
WRITTEN = ("**/dvc.lock", "**/metrics/*", "**/metrics.json", "lessons/*/*.png")
"""Outputs of the pipelines that a person commits. They do not count as changes, or each run would make the next one dirty."""
DVC_WORKS_S = 60
"""How long DVC may keep its lock, for instance while it reads what a stage has written."""
CODE = (".py", ".yaml", ".j2", ".dvc")
"""Untracked files that can change a result; others are a person's notes and lists."""


def lineage(source: str) -> dict[str, str]:
    """MLflow tags; ``source`` is the name of the data source."""
    tags = {f"version.{name}": version(name) for name in LIBRARIES}
    tags |= {"python": platform.python_version(), "data.source": source}
    tags |= {f"dvc.{path}": md5 for path, md5 in _tracked_data().items()}
    if "DVC_EXP_NAME" in os.environ:
        tags["dvc.exp"] = os.environ["DVC_EXP_NAME"]
    commit = git("rev-parse", "HEAD")
    if commit:
        tags |= {"git.commit": commit, "git.dirty": str(is_dirty()).lower()}
    return tags


def dataset(good: "pd.DataFrame") -> tuple[str, str, str, dict[str, Any]]:
    """Name, version, path and size of the data set; the version is DVC's md5 of the audio, or of the clips table.

    Args:
        good: the clips that are not rejected.
    """
    from pipeline.data import clips  # with pandas

    tracked = _tracked_data()
    source = clips.source(good)
    audio = paths.MUSIC if source == "folder" else paths.AUDIO
    place = audio if audio.as_posix() in tracked else paths.CLIPS
    md5 = tracked.get(place.as_posix()) or hashlib.md5(place.read_bytes(), usedforsecurity=False).hexdigest()
    size = {"num_rows": len(good), "labels": good["label"].nunique(), "groups": good["group"].nunique()}
    return audio.name if source == "folder" else source, md5.removesuffix(".dir"), place.as_posix(), size


def is_dirty() -> bool:
    """Whether the checkout differs from its commit in anything that can change a result."""
    excluded = [f":(top,exclude,glob){pattern}" for pattern in WRITTEN]
    listed = git("status", "--porcelain", "--untracked-files=all", "--", ":/", *excluded)
    return any(not line.startswith("??") or line.strip('"').endswith(CODE) for line in listed.splitlines())


def _tracked_data() -> dict[str, str]:
    """md5 by path, from dvc.lock, of data and features; and of the imported music."""
    found: dict[str, str] = {}
    if paths.LOCK.exists():
        stages = _lock_file().get("stages", {})
        for out in [out for stage in stages.values() for out in stage.get("outs", [])]:
            place = Path(out["path"])
            if place.parts[0] in ("data", "features") and place != paths.INPUTS:
                found[out["path"]] = _version(out)
    pointer = paths.MUSIC.with_suffix(".dvc")
    if pointer.exists():
        found[paths.MUSIC.as_posix()] = _version(_parsed(pointer.read_text(encoding="utf-8"))["outs"][0])
    return found


def _lock_file() -> dict[str, Any]:
    """dvc.lock, read while DVC does not write it: it does so in place, at the end of a stage that runs beside this one."""
    with ExitStack() as stack:
        if paths.DVC_BUSY.exists():
            with suppress(Timeout, PermissionError):  # DVC at long work, which writes last; another user's checkout
                stack.enter_context(FileLock(paths.DVC_BUSY, timeout=DVC_WORKS_S))
        text = paths.LOCK.read_text(encoding="utf-8")
    return _parsed(text)


def _version(out: Mapping[str, Any]) -> str:
    """DVC's md5 of an output. After a push to a cloud-versioned remote DVC lists a folder's files in its place."""
    if "md5" in out:
        return str(out["md5"])
    files = sorted(out.get("files", []), key=itemgetter("relpath"))
    if all("md5" in file for file in files):
        # as DVC makes it of the folder
        files = [{"md5": file["md5"], "relpath": file["relpath"]} for file in files]
    return f"{hashlib.md5(json.dumps(files, sort_keys=True).encode()).hexdigest()}.dir"


@lru_cache(maxsize=4)  # each run of a stage asks
def _parsed(text: str) -> dict[str, Any]:
    # libyaml's loader, where there is one, takes a tenth of the time
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(text, loader) or {}


def git(*arguments: str) -> str:
    """git's output; empty outside a git checkout or without git."""
    try:
        # without locks: DVC, which stages dvc.lock meanwhile, would fail
        command = ["git", "--no-optional-locks", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
