"""Downloads from a server that cuts off, ignores ranges or serves the wrong thing; hostile archives."""

import hashlib
import http.server
import io
import random
import re
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import PATIENCE_S, free_port, wait_until

from pipeline.data.download import TRIES, ArchiveError, DownloadError, Remote, download, unpacked

CONTENT = random.Random(7).randbytes(300_000)
HALF = len(CONTENT) // 2
DEVICE = tarfile.CHRTYPE


class Site(http.server.ThreadingHTTPServer):
    """Serves ``content`` at every path, unless told to misbehave."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.ranges = True
        self.statuses: list[int] = []
        """Answers to the next requests, in place of the content."""
        self.cuts: list[int] = []
        """Bytes after which the next replies break off."""
        self.stall = threading.Event()
        self.stall.set()
        """While clear, a reply waits at ``HALF``."""
        self.asked: list[str | None] = []
        """The Range header of each request."""
        self.sent = 0

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client may leave
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def url(self, name: str = "file.bin") -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.server.statuses:
            self.send_error(self.server.statuses.pop(0))
            return
        start = self._start(wanted)
        if start >= len(self.server.content):
            self.send_error(416)
            return
        self._reply(start)

    def _start(self, wanted: str | None) -> int:
        match = re.fullmatch(r"bytes=(\d+)-", wanted or "")
        return int(match[1]) if match and self.server.ranges else 0

    def _reply(self, start: int) -> None:
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if start:
            total = len(self.server.content)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()
        body = body[: self.server.cuts.pop(0)] if self.server.cuts else body
        for piece in (body[i : i + HALF] for i in range(0, len(body), HALF)):
            self.server.sent += len(piece)
            self.wfile.write(piece)
            self.server.stall.wait(PATIENCE_S)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Site]:
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")


def remote(*urls: str, content: bytes = CONTENT, max_bytes: int = 10**6) -> Remote:
    return Remote("file.bin", urls, hashlib.md5(content).hexdigest(), max_bytes)


def left_over(folder: Path, content: bytes) -> Path:
    part = folder / "file.bin.part"
    part.write_bytes(content)
    return part


def assert_delivered(folder: Path) -> None:
    assert [file.name for file in folder.iterdir()] == ["file.bin"]
    assert (folder / "file.bin").read_bytes() == CONTENT


def test_a_file_is_downloaded_once(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    assert download(remote(site.url()), folder) == folder / "file.bin"
    assert_delivered(folder)
    download(remote(site.url()), folder)
    assert site.asked == [None]


def test_a_cut_off_download_is_resumed(site: Site, tmp_path: Path) -> None:
    site.cuts = [HALF, 1000]
    download(remote(site.url()), tmp_path, pause_s=0)
    assert_delivered(tmp_path)
    assert site.asked == [None, f"bytes={HALF}-", f"bytes={HALF + 1000}-"]
    assert site.sent == len(CONTENT)


def test_a_server_without_ranges_starts_the_file_anew(site: Site, tmp_path: Path) -> None:
    site.ranges, site.cuts = False, [HALF]
    download(remote(site.url()), tmp_path, pause_s=0)
    assert_delivered(tmp_path)
    assert site.asked == [None, f"bytes={HALF}-"]
    assert site.sent == HALF + len(CONTENT)


def test_a_killed_download_is_resumed(site: Site, tmp_path: Path) -> None:
    site.stall.clear()
    script = (
        "from pathlib import Path; from pipeline.data.download import Remote, download; "
        f"download({remote(site.url())!r}, Path({str(tmp_path)!r}))"
    )
    part = tmp_path / "file.bin.part"
    with subprocess.Popen([sys.executable, "-c", script], text=True) as process:
        wait_until(lambda: part.exists() and part.stat().st_size, process)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    have = part.stat().st_size
    assert 0 < have <= HALF
    assert not (tmp_path / "file.bin").exists()
    site.stall.set()
    download(remote(site.url()), tmp_path)
    assert_delivered(tmp_path)
    assert site.asked == [None, f"bytes={have}-"]


@pytest.mark.parametrize(("left", "requests"), [(CONTENT, 1), (CONTENT + b"more", 2), (b"x" * 10**6, 2)])
def test_a_part_that_reaches_past_the_end(site: Site, tmp_path: Path, left: bytes, requests: int) -> None:
    left_over(tmp_path, left)
    download(remote(site.url()), tmp_path, pause_s=0)
    assert_delivered(tmp_path)
    assert len(site.asked) == requests


def test_a_host_that_never_sends_is_abandoned_and_its_part_stays(site: Site, tmp_path: Path) -> None:
    part = left_over(tmp_path, CONTENT[:HALF])
    site.cuts = [0] * TRIES
    with pytest.raises(DownloadError, match=f"cut off after {HALF} .*after {TRIES} tries"):
        download(remote(site.url()), tmp_path, pause_s=0)
    assert len(site.asked) == TRIES
    assert part.stat().st_size == HALF
    download(remote(site.url()), tmp_path)
    assert_delivered(tmp_path)


def test_a_busy_server_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.statuses = [503, 429]
    download(remote(site.url()), tmp_path, pause_s=0)
    assert_delivered(tmp_path)


def test_the_next_url_is_tried_when_one_fails(site: Site, tmp_path: Path) -> None:
    site.statuses = [404]
    download(remote(site.url("gone"), site.url("here")), tmp_path)
    assert_delivered(tmp_path)
    assert len(site.asked) == 2


def test_a_download_from_one_host_is_resumed_from_another(site: Site, tmp_path: Path) -> None:
    with serving() as dying:
        dying.cuts = [HALF, *[0] * TRIES]
        download(remote(dying.url(), site.url()), tmp_path, pause_s=0)
    assert_delivered(tmp_path)
    assert site.asked == [f"bytes={HALF}-"]


def test_a_wrong_checksum_leaves_nothing(site: Site, tmp_path: Path) -> None:
    site.content = CONTENT[::-1]
    wanted = remote(site.url())
    with pytest.raises(DownloadError) as caught:
        download(wanted, tmp_path)
    assert f"expected md5 {wanted.md5}, found {hashlib.md5(site.content).hexdigest()}" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    site.content = CONTENT
    download(wanted, tmp_path)
    assert_delivered(tmp_path)


def test_a_stale_part_is_not_taken_for_good(site: Site, tmp_path: Path) -> None:
    left_over(tmp_path, b"x" * HALF)
    with pytest.raises(DownloadError, match="wrong checksum"):
        download(remote(site.url()), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_file_of_that_name_is_replaced_by_the_right_one(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(b"something else")
    site.statuses = [404]
    with pytest.raises(DownloadError, match=r"file\.bin is there, but has md5"):
        download(remote(site.url()), tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == b"something else"
    download(remote(site.url()), tmp_path)
    assert_delivered(tmp_path)


def test_more_bytes_than_the_file_can_have_are_not_taken(site: Site, tmp_path: Path) -> None:
    site.content = bytes(50_000_000)
    with pytest.raises(DownloadError, match="more than 100000 bytes"):
        download(remote(site.url(), max_bytes=100_000), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert site.sent < 25_000_000


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/file.bin", "/etc/hostname"])
def test_only_http_is_spoken(url: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=f"{url}.* not an http"):
        download(remote(url), tmp_path)


def test_a_host_that_is_not_there_is_named_with_what_was_tried(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/file.bin"
    with pytest.raises(DownloadError) as caught:
        download(remote(url), tmp_path)
    assert f"127.0.0.1: {url}: " in str(caught.value)
    assert "refused" in str(caught.value)


Pack = Callable[[Path, dict[str, bytes]], Path]


def pack_tar(folder: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(folder / "set.tar.gz", "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return folder / "set.tar.gz"


def pack_zip(folder: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(folder / "set.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)
    return folder / "set.zip"


both = pytest.mark.parametrize("pack", [pack_tar, pack_zip])


def take(archive: Path, cache: Path, max_bytes: int = 10**6, max_members: int = 100) -> dict[str, bytes]:
    with unpacked(archive, cache, suffix=".wav", max_bytes=max_bytes, max_members=max_members) as folder:
        assert folder.parent == cache
        files = [file for file in folder.rglob("*") if file.is_file()]
        return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def assert_refused(archive: Path, cache: Path, member: str, why: str) -> None:
    before = sorted(cache.parent.rglob("*"))
    with pytest.raises(ArchiveError) as caught:
        take(archive, cache)
    assert str(archive) in str(caught.value)
    assert repr(member) in str(caught.value)
    assert why in str(caught.value)
    assert sorted(cache.parent.rglob("*")) == before


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "cache"
    folder.mkdir(parents=True)
    return folder


@both
def test_only_the_wanted_files_are_unpacked(pack: Pack, cache: Path) -> None:
    good = {"genres/pop/pop.00000.wav": b"pop", "genres/a..b/a..b.00000.wav": b"dots"}
    junk = ["genres/.DS_Store", "genres/pop/._pop.00000.wav", "__MACOSX/genres/pop/pop.00000.wav", "list.mf"]
    archive = pack(cache, good | dict.fromkeys(junk, b"junk"))
    left = cache / f"{archive.name}.unpacked"
    left.mkdir()
    (left / "of_a_killed_run.wav").touch()
    assert take(archive, cache) == good
    assert not left.exists()


@both
@pytest.mark.parametrize(
    "name",
    ["../evil.wav", "genres/../../evil.wav", "/evil.wav", "..\\evil.wav", "C:\\evil.wav", "C:evil.wav"],
)
def test_a_member_that_leads_outside_is_refused(pack: Pack, name: str, cache: Path) -> None:
    archive = pack(cache, {"genres/pop/pop.00000.wav": b"pop", name: b"evil"})
    assert_refused(archive, cache, name, "leads out of the folder")


@pytest.mark.parametrize(
    ("kind", "why"), [(tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "link"), (DEVICE, "device")]
)
def test_a_tar_with_links_or_devices_is_refused(kind: bytes, why: str, cache: Path) -> None:
    info = tarfile.TarInfo("genres/pop")
    info.type, info.linkname = kind, "/etc"
    with tarfile.open(cache / "set.tar.gz", "w:gz") as tar:
        tar.addfile(info)
    assert_refused(cache / "set.tar.gz", cache, "genres/pop", f"is a {why}")


@pytest.mark.parametrize(("mode", "why"), [(stat.S_IFLNK, "link"), (stat.S_IFIFO, "device")])
def test_a_zip_with_links_or_devices_is_refused(mode: int, why: str, cache: Path) -> None:
    info = zipfile.ZipInfo("genres/pop")
    info.external_attr = (mode | 0o777) << 16
    with zipfile.ZipFile(cache / "set.zip", "w") as zipped:
        zipped.writestr(info, "/etc")
    assert_refused(cache / "set.zip", cache, "genres/pop", f"is a {why}")


@both
def test_the_unpacked_size_is_bounded(pack: Pack, cache: Path) -> None:
    archive = pack(cache, {"a.wav": bytes(600_000), "b.txt": bytes(600_000)})
    assert archive.stat().st_size < 10_000
    assert_refused(archive, cache, "b.txt", "1200000 bytes, above the 1000000 allowed")
    assert len(take(archive, cache, max_bytes=1_200_000)) == 1


@both
def test_the_number_of_members_is_bounded(pack: Pack, cache: Path) -> None:
    archive = pack(cache, {f"{i}.wav": b"" for i in range(101)})
    assert_refused(archive, cache, "100.wav", "the 100 members allowed")
    assert len(take(archive, cache, max_members=101)) == 101


@both
@pytest.mark.parametrize("keep", [0.5, 0.0])
def test_a_damaged_archive_is_named(pack: Pack, keep: float, cache: Path) -> None:
    archive = pack(cache, {"a.wav": CONTENT})
    archive.write_bytes(archive.read_bytes()[: int(keep * archive.stat().st_size)])
    with pytest.raises(ArchiveError, match=f"{re.escape(str(archive))} is damaged"):
        take(archive, cache)
    assert list(cache.iterdir()) == [archive]
