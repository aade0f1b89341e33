"""``soundtrack import`` in a checkout, as a user types it."""

import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo
from typed_import import Import, Outcome

from pipeline import cli


@pytest.fixture
def repo(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkout as a repository of git and DVC."""
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    subprocess.run(["git", "init", "--quiet"], cwd=checkout, check=True)
    Repo.init(str(checkout)).close()
    return checkout


@pytest.fixture
def soundtrack_import(checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Import:
    """``soundtrack_import(folder, "--labels", "tags")``, without a terminal."""
    assert Path.cwd() == checkout

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["soundtrack", "import", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        code = end.value.code
        said = capsys.readouterr()
        text = said.out + said.err + (code if isinstance(code, str) else "")
        assert "Traceback" not in text
        return Outcome(code if isinstance(code, int) else 1, text)

    return run
