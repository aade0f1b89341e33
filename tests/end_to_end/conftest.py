"""One finished checkout for all end-to-end tests, in all of pytest's workers; and commands of the documents, typed there."""

import os
import shutil
from collections.abc import Generator
from pathlib import Path

import documented
import pytest
from checkouts import finish
from documented import Typed
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


@pytest.fixture
def typed(request: pytest.FixtureRequest) -> Typed:
    """Runs the commands of the test's mark, all of which the test has to run."""
    mark = request.node.get_closest_marker("documented")
    unknown = set(mark.args) - documented.fenced().keys() - documented.inline().keys()
    assert not unknown, f"in no document: {unknown}"
    return Typed(mark.args)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Function) -> Generator[None, None, None]:
    """A test that passes has run all commands that its mark names."""
    yield
    if item.get_closest_marker("documented"):
        typed = item.funcargs["typed"]
        assert isinstance(typed, Typed)
        assert not typed.left, f"documented, and not run: {typed.left}"
