"""Commands of the documents, typed in a checkout as a user would."""

import shutil
from collections.abc import Generator
from pathlib import Path

import documented
import pytest
from documented import Typed


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
