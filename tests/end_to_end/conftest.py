"""One finished checkout for all end-to-end tests, in all of pytest's workers."""

import os
import shutil
from pathlib import Path

import pytest
from checkouts import finish
from filelock import FileLock


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed: made by the first worker that needs it."""
    own = tmp_path_factory.getbasetemp()
    top = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "finished"
    with FileLock(top.with_suffix(".lock")):
        if not (top / "done").exists():
            shutil.rmtree(top, ignore_errors=True)
            finish(top)
            (top / "done").touch()
    return top / "checkout"


@pytest.fixture
def checkout(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished checkout to change."""
    copy = tmp_path / "checkout"
    shutil.copytree(finished, copy, symlinks=True)
    return copy
