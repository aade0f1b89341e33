"""The command line: help with examples, ranges, suggestions, exit codes."""

import subprocess
import sys
from importlib.metadata import version

import pytest

from pipeline import cli

COMMANDS = (
    "import",
    "repro",
    "status",
    "report",
    "sweep",
    "champion",
    "classify",
    "suggest",
    "page",
    "serve",
    "restore-tags",
    "ui",
    "sync",
)


def soundtrack(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """The exit code of the command; an error message in its place."""
    monkeypatch.setattr(sys, "argv", ["soundtrack", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_ends_with_an_example(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert soundtrack(monkeypatch, command, "--help") == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.strip().startswith("Example: ")
    assert f"soundtrack {command}" in last


def test_the_help_lists_each_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert soundtrack(monkeypatch, "--help") == 0
    shown = capsys.readouterr().out
    assert all(f"  {command} " in shown for command in COMMANDS)
    assert "..." not in shown.partition("Commands:")[2], "a summary is cut off"


def test_the_version_is_that_of_the_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert soundtrack(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"soundtrack {version('soundtrack')}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("clasify music", "Did you mean 'classify'?"),
        ("sweep mlp --job 2", "--jobs"),
        ("repro --jobs 0", "greater than or equal to 1"),
        ("sweep mlp --trials 0", "greater than or equal to 1"),
        ("classify music --top 0", "greater than or equal to 1"),
        ("classify music --precision 1.5", "less than or equal to 1"),
        ("page --port 65536", "less than or equal to 65535"),
        ("serve --workers 0", "greater than or equal to 1"),
        ("import", "Missing argument"),
    ],
)
def test_a_wrong_use_is_explained(
    arguments: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert soundtrack(monkeypatch, *arguments.split()) == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("checkout")
def test_a_users_error_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert soundtrack(monkeypatch, "import", "gone") == "error: gone is not a folder"


def test_the_help_needs_no_heavy_import() -> None:
    code = "import sys; from pipeline import cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"torch", "mlflow", "pandas", "numpy", "dvc"} & set(done.stdout.split())


def test_a_song_waits_for_no_library_that_it_does_not_need() -> None:
    """Each takes longer to import than a song to classify; librosa and numba are for models that take the tabular features."""
    worker = "from pipeline.features import spectrogram, timbre, wavelet; from pipeline.serving import predictor"
    for code in (worker, "from pipeline.library import commands"):
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert not {"librosa", "mlflow", "numba", "pandas", "sklearn", "torch"} & set(done.stdout.split()), code
