"""Clips at URLs (``s3://``, ``ssh://`` and what else fsspec knows): each is fetched to a temporary file while it is read."""

import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.base.errors import UserError

SCHEME = re.compile(r"^[a-z][a-z0-9+.-]+://")
PASSWORD = re.compile(r"://[^/@]*:[^/@]*@")
KEYS = "Keys and passwords: docs/music.md"
PAUSES_S = (1, 5)
"""Before a fetch that failed is tried again."""
INSTALL = "pip install 'soundtrack[remotes]' for S3 and SSH; https://filesystem-spec.readthedocs.io lists others"


@dataclass(frozen=True)
class Url:
    """A file of fsspec's."""

    address: str
    version: str = ""
    """Another one where the content is another."""

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.address).suffix

    @property
    def stem(self) -> str:
        return PurePosixPath(self.address).stem

    def __str__(self) -> str:
        return self.address


class UrlError(UserError):
    """An address cannot be used; the message says why."""


class FetchError(UserError, OSError):
    """A clip cannot be fetched; the message says why."""


def place(path: str, version: str = "") -> Path | Url:
    """Where a clip of the clips table is."""
    return Url(path, version) if SCHEME.match(path) else Path(path)


def listed(folder: str) -> dict[str, str]:
    """The version of each file below, by its path from there, which is empty if ``folder`` is a file; without hidden files.

    Raises:
        UrlError: it cannot be listed.
    """
    try:
        system, top = _opened(folder.rstrip("/"))
        system.invalidate_cache()
        found = system.find(top, detail=True)
    except UserError:
        raise
    except Exception as error:  # each file system has errors of its own
        raise UrlError(f"{folder} cannot be listed: {_said(error)}") from error
    versions = {name.removeprefix(top).lstrip("/"): _version(info) for name, info in found.items()}
    return {name: version for name, version in versions.items() if not re.search(r"(^|/)\.", name)}


@contextmanager
def local(file: Path | Url) -> Iterator[Path]:
    """The file itself, or a temporary copy of what is at a URL.

    Raises:
        FetchError: there is nothing, or it cannot be reached.
    """
    if isinstance(file, Path):
        yield file
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"clip{file.suffix}"
        _fetch(file.address, copy)
        yield copy


def _fetch(address: str, copy: Path) -> None:
    folder, _, name = address.rpartition("/")  # a name may have what means something in an address: # ? ::
    try:
        system, top = _opened(folder)
    except UrlError as error:  # one clip does not stop the others
        raise FetchError(str(error)) from None
    for wait in (*PAUSES_S, None):
        try:
            system.get_file(f"{top}/{name}", os.fspath(copy))
            return
        except Exception as error:  # each file system has errors of its own
            if wait is None or isinstance(error, (FileNotFoundError, PermissionError)):
                raise FetchError(f"{address} cannot be fetched: {_said(error)}") from error
            time.sleep(wait)


def _opened(address: str) -> tuple[Any, str]:
    import fsspec  # not needed where all clips are files

    if found := PASSWORD.search(address):
        shown = address.replace(found[0], "://")
        raise UrlError(f"{shown}: give no password in an address, since tables and reports show it. {KEYS}")
    try:
        system, name = fsspec.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise UrlError(f"{address} cannot be used: {error}. {INSTALL}") from None
    return system, str(name)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _version(info: dict[str, Any]) -> str:
    """What a store says of a file's content, else its size and time."""
    known = info.get("ETag") or info.get("etag") or info.get("md5Hash")
    return (
        str(known).strip('"') if known else f"{info.get('size')} {info.get('mtime') or info.get('LastModified') or ''}"
    )
