"""Files and folders that are written atomically, and JSON."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.base.errors import UserError


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """A path beside ``target`` for a new file or folder, which replaces the target at the end of the block.

    If the block raises, the new one is removed and the target stays as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    remove(partial)
    try:
        yield partial
        if partial.is_dir():
            remove(target)
        partial.replace(target)
    finally:
        remove(partial)


def check_writable(folder: Path) -> None:
    """Make the folder if it is not there, to find out before long work that what is made cannot be put there.

    Raises:
        UserError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"nothing can be written to {folder} ({error.strerror}): name another folder") from None


def write_text(target: Path, text: str, errors: str = "strict") -> None:
    """In UTF-8; with ``errors="surrogateescape"`` file names that are not UTF-8 are written as their bytes."""
    with atomic_write(target) as partial:
        partial.write_text(text, encoding="utf-8", errors=errors)


def write_json(target: Path, content: Any) -> None:
    write_text(target, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(file: Path) -> Any:
    """
    Raises:
        UserError: it is no JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}): delete it, then `dvc checkout` or `dvc repro`") from None


def sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
