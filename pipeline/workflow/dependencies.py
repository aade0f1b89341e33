"""Which files of this package a module imports, found by reading it, so that nothing heavy is imported to know."""

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pipeline.base.files import sha256

PACKAGE = Path(__file__).parents[1]


def reached(*names: str) -> set[Path]:
    """Files of the checkout that the modules called ``names`` are in and import, relative to its top folder.

    Imports inside functions count; modules loaded by a computed name do not.

    Raises:
        ModuleNotFoundError: there is no such module, e.g. since it was moved.
    """
    for name in names:
        if not _is_module(name):
            raise ModuleNotFoundError(f"no module {name} in {PACKAGE.name}", name=name)
    return _closure(file for name in names for file in _files(name))


def reached_from(script: Path) -> set[Path]:
    """As :func:`reached`, of all that a script outside this package imports from it."""
    return _closure(_imported(script.resolve()))


def versions(files: Iterable[Path]) -> dict[str, str]:
    """sha256 of files of the checkout, by their place in it, whatever the working folder."""
    return {file.as_posix(): sha256(PACKAGE.parent / file) for file in sorted(files)}


def _closure(files: Iterable[Path]) -> set[Path]:
    found: set[Path] = set()
    todo = list(files)
    while todo:
        file = todo.pop()
        if file not in found:
            found.add(file)
            todo += _imported(file)
    return found


@cache
def _imported(file: Path) -> frozenset[Path]:
    names: set[str] = set()
    for node in ast.walk(ast.parse((PACKAGE.parent / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(target for name in names for target in _files(name))


def _files(name: str) -> list[Path]:
    """The module's file and those of the packages around it; a function's name gives its module's."""
    parts = name.split(".")
    bases = [Path(*parts[:end]) for end in range(1, len(parts) + 1)]
    return [file for base in bases for file in _candidates(base) if (PACKAGE.parent / file).is_file()]


def _is_module(name: str) -> bool:
    return any((PACKAGE.parent / file).is_file() for file in _candidates(Path(*name.split("."))))


def _candidates(base: Path) -> tuple[Path, Path]:
    return base.with_suffix(".py"), base / "__init__.py"
