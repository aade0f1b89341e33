"""Published archives: a download that resumes, with mirrors, a checksum and a size limit; and safe unpacking.

Of pooch, which librosa brings, resuming and the size limit would be missing.
"""

import gzip
import hashlib
import io
import logging
import shutil
import stat
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, NamedTuple
from urllib.parse import urlsplit

import requests
import urllib3
from tqdm import tqdm

from pipeline.base.errors import UserError
from pipeline.base.files import remove

TIMEOUT_S = (10.0, 60.0)
"""To connect, and between two pieces of the reply."""
TRIES = 5
"""Per URL; each resumes where the one before was cut off."""

log = logging.getLogger(__name__)


class DownloadError(UserError):
    """A file cannot be downloaded; the message says what was tried and why it failed."""


class ArchiveError(UserError):
    """An archive is damaged or unsafe to unpack; the message names it and the member."""


class _Interrupted(Exception):
    """This try failed in a way that may be temporary."""


@dataclass(frozen=True)
class Remote:
    """A published file."""

    name: str
    """File name, here and on a mirror."""
    urls: tuple[str, ...]
    """Tried in this order."""
    md5: str
    max_bytes: int
    """A longer reply is another file, and is not written."""


def digest(file: Path, algorithm: str) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def download(remote: Remote, folder: Path, *, pause_s: float = 1.0) -> Path:
    """The file ``folder/remote.name``, downloaded unless it is there with the right checksum.

    A killed or cut-off download stays in ``folder/<name>.part``, and the next one resumes it. The file gets its name
    after its checksum was checked, so a file of that name is complete.

    Args:
        pause_s: wait before the second try of a URL; each further wait is longer by as much.

    Raises:
        DownloadError: no URL delivered the file; one line for each says why.
    """
    for url in remote.urls:
        if urlsplit(url).scheme not in ("http", "https"):
            raise DownloadError(f"{url!r} cannot be downloaded: it is not an http:// or https:// URL")
    complete, part = folder / remote.name, folder / f"{remote.name}.part"
    failed = []
    if complete.exists():
        if (found := digest(complete, "md5")) == remote.md5:
            return complete
        failed.append(f"{complete} is there, but has md5 {found} instead of {remote.md5}")
    folder.mkdir(parents=True, exist_ok=True)
    for url in remote.urls:
        try:
            _receive(url, part, remote, pause_s)
            if (found := digest(part, "md5")) != remote.md5:
                part.unlink()
                raise DownloadError(f"wrong checksum, expected md5 {remote.md5}, found {found}; the file was deleted")
        except DownloadError as error:
            failed.append(f"{urlsplit(url).hostname}: {url}: {error}")
        else:
            return part.replace(complete)
    raise DownloadError("\n  ".join([f"{remote.name} could not be downloaded. Tried:", *failed]))


def _receive(url: str, part: Path, remote: Remote, pause_s: float) -> None:
    reason = ""
    for attempt in range(TRIES):
        time.sleep(pause_s * attempt)
        try:
            _request(url, part, remote)
            return
        except _Interrupted as error:
            reason = str(error)
        except requests.ConnectionError as error:
            reason = _root(error)
            if attempt == 0:  # only a host that was reached before may come back
                raise DownloadError(reason) from error
        except requests.RequestException as error:
            raise DownloadError(str(error)) from error
        log.info("%s: %s", url, reason)
    raise DownloadError(f"{reason} (after {TRIES} tries; the next run resumes the download)")


def _request(url: str, part: Path, remote: Remote) -> None:
    """Append to ``part`` what is missing."""
    offset = part.stat().st_size if part.exists() else 0
    # of a compressed reply the range would count other bytes than those of the file
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
    try:
        response = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S)
    except requests.ReadTimeout as error:
        raise _Interrupted(f"no answer in {TIMEOUT_S[1]:.0f} s") from error
    with response:
        status = response.status_code
        if offset and status == requests.codes.requested_range_not_satisfiable:
            if digest(part, "md5") != remote.md5:
                part.unlink()
                raise _Interrupted("the partial file here was not of this file")
        elif status == requests.codes.too_many_requests or status >= 500:
            raise _Interrupted(f"HTTP {status} {response.reason}")
        elif offset and status == requests.codes.partial_content:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
                raise DownloadError(f"asked for the bytes from {offset}, the server sent others")
            _write(response, part, offset, remote)
        elif status == requests.codes.ok:
            _write(response, part, 0, remote)
        else:
            raise DownloadError(f"HTTP {status} {response.reason}")


def _write(response: requests.Response, part: Path, offset: int, remote: Remote) -> None:
    length = response.headers.get("Content-Length", "")
    total = offset + int(length) if length.isdigit() else None
    with (
        part.open("ab" if offset else "wb") as file,
        tqdm(total=total, initial=offset, desc=remote.name, unit="B", unit_scale=True, disable=None) as progress,
    ):
        size = offset
        try:
            for chunk in response.raw.stream(1 << 16, decode_content=False):
                size += len(chunk)
                if size > remote.max_bytes:
                    break
                file.write(chunk)
                progress.update(len(chunk))
        except urllib3.exceptions.HTTPError as error:
            raise _Interrupted(f"cut off after {size} bytes: {_root(error)}") from error
    if size > remote.max_bytes:
        part.unlink()
        raise DownloadError(f"more than {remote.max_bytes} bytes, so it is another file")
    if total is not None and size < total:  # urllib3 before 2.0 does not raise
        raise _Interrupted(f"cut off after {size} of {total} bytes")


def _root(error: BaseException) -> str:
    """The system's message, without those of the libraries around it."""
    cause = error
    while cause.__context__ is not None:
        cause = cause.__context__
    return f"{'proxy: ' if isinstance(error, requests.exceptions.ProxyError) else ''}{cause}"


class _Member(NamedTuple):
    name: str
    size: int
    kind: str
    """``file``, ``folder``, or what else it is."""
    open: Callable[[], IO[bytes] | None]


@contextmanager
def unpacked(archive: Path, cache: Path, *, suffix: str, max_bytes: int, max_members: int = 10_000) -> Iterator[Path]:
    """A folder in ``cache`` with the archive's files of one suffix, removed at the end of the block.

    A ``.zip`` is read as zip, anything else as tar. Files that macOS adds (``._name``, ``__MACOSX``, ``.DS_Store``) are
    skipped; they are checked like all members.

    Args:
        max_bytes: limit for the unpacked size of all members together.

    Raises:
        ArchiveError: the archive is damaged or above a limit, or a member leads out of the folder or is neither file
            nor folder.
    """
    into = cache / f"{archive.name}.unpacked"
    remove(into)  # left by a killed run
    into.mkdir(parents=True)
    try:
        _unpack(archive, into, suffix, max_bytes, max_members)
        yield into
    finally:
        remove(into)


def _unpack(archive: Path, into: Path, suffix: str, max_bytes: int, max_members: int) -> None:
    members = _zip_members if archive.suffix == ".zip" else _tar_members
    size = 0
    try:
        for count, member in enumerate(members(archive), 1):
            size += member.size
            fault = _fault(member)
            if count > max_members:
                fault = f"is one more than the {max_members} members allowed"
            elif size > max_bytes:
                fault = f"brings the unpacked size to {size} bytes, above the {max_bytes} allowed"
            if fault:
                raise ArchiveError(f"{archive} is not unpacked: its member {member.name!r} {fault}")
            place = PurePosixPath(member.name)
            # files that macOS adds
            junk = "__MACOSX" in place.parts or place.name.startswith("._") or place.name == ".DS_Store"
            if member.kind == "file" and member.name.endswith(suffix) and not junk:
                path = into / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                # only the content: a member's owner, mode and time are ignored
                with member.open() or io.BytesIO() as source, path.open("wb") as target:
                    shutil.copyfileobj(source, target)
    except (tarfile.TarError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ArchiveError(f"{archive} is damaged: {error}") from error


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive) as tar:
        for info in tar:
            kind = "file" if info.isreg() else "folder" if info.isdir() else "device" if info.isdev() else "link"
            yield _Member(info.name, info.size, kind, partial(tar.extractfile, info))


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as zipped:
        for info in zipped.infolist():
            mode = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive was not made on Unix
            kind = "folder" if info.is_dir() else "file"
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = "link" if mode == stat.S_IFLNK else "device"
            elif info.flag_bits & 0x1:
                kind = "encrypted file"
            yield _Member(info.filename, info.file_size, kind, partial(zipped.open, info))


def _fault(member: _Member) -> str | None:
    path = PureWindowsPath(member.name)  # knows both slashes, and drives
    if path.drive or path.root or ".." in path.parts:
        return "leads out of the folder it is unpacked to"
    if member.kind not in ("file", "folder"):
        return f"is a {member.kind}; only files and folders are taken"
    return None
