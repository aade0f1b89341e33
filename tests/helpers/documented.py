"""The commands that the documents show, as they stand there, and a user who types them."""

import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from checkouts import run

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "SECURITY.md", "docs/**/*.md", "lessons/*/README.md", "tutorial/*.md")
SHELL = ("", "sh", "bash", "shell", "console")
"""What a block of commands is fenced as."""
PROGRAMS = "cd|curl|dvc|git|ln|make|mlflow|mypy|pip|pytest|python3?|rm|ruff|soundtrack|source"

FENCE = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
COMMENT = re.compile(r"(^|\s+)# .*$")
HEREDOC = re.compile(r"<<'?(\w+)'?")
TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
"""Runs a command that asks nobody who does not sit at a terminal."""


@cache
def fenced() -> dict[str, str]:
    """Commands of the shell blocks, each with the document that it was first seen in."""
    return {
        command: name
        for name, text in reversed(_documents())
        for language, block in FENCE.findall(text)
        if language in SHELL
        for command in _commands(block)
    }


@cache
def inline() -> dict[str, str]:
    """Commands within sentences, each with the document that it was first seen in."""
    return {
        code: name
        for name, text in reversed(_documents())
        for code in (" ".join(code.split()) for code in INLINE.findall(FENCE.sub("", text)))
        if re.match(rf"({PROGRAMS}) ", code)
    }


def of(document: str) -> list[str]:
    """The commands of a document's shell blocks, in their order."""
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = [block for language, block in FENCE.findall(text) if language in SHELL]
    return [command for block in blocks for command in _commands(block)]


def starting(words: str) -> str:
    """The one documented command that starts with these words, for those that are long."""
    [command] = [command for command in fenced() if command.startswith(words)]
    return command


def is_run(command: str, run: set[str]) -> bool:
    """As it stands, or a mention by its first words, as of `dvc add` where `dvc add data/music` is run."""
    parts = (part.strip() for whole in run for part in re.split(r"&&|\||\n", whole))
    return command in run or (command not in fenced() and any(f"{part} ".startswith(f"{command} ") for part in parts))


def _documents() -> list[tuple[str, str]]:
    files = [file for pattern in DOCUMENTS for file in sorted(ROOT.glob(pattern))]
    return [(file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")) for file in files]


def _commands(block: str) -> Iterator[str]:
    """Each on one line without its comment, except for what is read up to a word (``<<EOF``)."""
    lines = iter(block.splitlines())
    for line in lines:
        command = COMMENT.sub("", line).strip()
        while command.endswith(("\\", "|", "&&")):
            command = " ".join([command.removesuffix("\\").strip(), COMMENT.sub("", next(lines)).strip()])
        if heredoc := HEREDOC.search(command):
            while not command.endswith(f"\n{heredoc[1]}"):
                command = f"{command}\n{next(lines)}"
        if command:
            yield command


class Typed:
    """``typed(checkout, "dvc push")``: a command that the documents have, and the test's mark names, run by a shell."""

    def __init__(self, commands: tuple[str, ...]) -> None:
        self.commands = commands
        self.left = set(commands)

    def __call__(
        self,
        folder: Path,
        *commands: str,
        instead: Mapping[str, str] | None = None,
        more: str = "",
        home: Path | None = None,
        answer: str = "",
        terminal: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        """What the commands print, all typed into one shell, which stops at the first that fails.

        Args:
            instead: What a user puts in place of parts of them (``<url>``).
            more: What is typed behind them.
            home: The user's home folder.
            answer: What the user types when asked.
            terminal: Whether they run at a terminal.
        """
        text = self.text(*commands, instead=instead) + more
        shell = [*([sys.executable, "-c", TERMINAL] if terminal else []), "bash", "-ec", text]
        homes = {"HOME": str(home)} if home else {}
        return run(folder, *shell, answer=answer, variables={**homes, **(variables or {})})

    def text(self, *commands: str, instead: Mapping[str, str] | None = None) -> str:
        """What there is to be typed, for tests that run it themselves."""
        assert set(commands) <= set(self.commands), "not in the test's mark"
        self.left -= set(commands)
        text = "\n".join(commands)
        for part, other in (instead or {}).items():
            assert part in text
            text = text.replace(part, other)
        return text
