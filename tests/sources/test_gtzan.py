"""GTZAN and its mini edition, on small archives of the same layout from a server on this machine."""

import functools
import hashlib
import http.server
import io
import json
import logging
import random
import socket
import tarfile
import threading
import wave
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pipeline.config.data import Data, Starter
from pipeline.data.download import Remote
from pipeline.sources import Clip, SourceError, gtzan, load
from pipeline.sources.gtzan import Edition, deliver

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
MINI_JAZZ = (0, 1, 2, 4, 5, 6, 7, 8, 11, 12)
NAMES = {
    "full": [f"{genre}.{number:05}" for genre in GENRES for number in range(100)],
    "mini": [f"{g}.{n:05}" for g in GENRES for n in (MINI_JAZZ if g == "jazz" else range(10))],
}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder and the URL that serves it."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    folder = tmp_path / "web"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def wav(seed: str, samples: int = 50) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(22050)
        audio.writeframes(random.Random(seed).randbytes(2 * samples))
    return file.getvalue()


def pack(archive: Path, members: dict[str, bytes]) -> None:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as zipped:
            for name, content in members.items():
                zipped.writestr(name, content)
        return
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def publish(
    folder: Path,
    url: str,
    clips: dict[str, bytes],
    listed: dict[str, bytes] | None = None,
    top: str = "",
    archive: str = "genres.tar.gz",
) -> Edition:
    """Lay out what the hosts serve: the archive, and an index as mirdata's (of ``listed``, else of all)."""
    extra = {"genres/.DS_Store": b"", "genres/blues/._blues.00000.wav": b"fork", "genres.zip": b"PK", "README.md": b""}
    files = {f"genres/{name.split('.')[0]}/{name}.wav": content for name, content in clips.items()}
    pack(folder / archive, {f"{top}{name}": content for name, content in (files | extra).items()})
    tracks = {
        name: {"audio": [f"gtzan_genre/genres/{name}.wav", md5(content)], "tempo": [f"{name}.bpm", "0"]}
        for name, content in (clips if listed is None else listed).items()
    }
    (folder / "index.json").write_text(json.dumps({"version": "1.0", "tracks": tracks}))
    return Edition("gtzan", *(remote(folder / name, url) for name in (archive, "index.json")))


def remote(file: Path, url: str) -> Remote:
    return Remote(file.name, (f"{url}/{file.name}",), md5(file.read_bytes()), 10**7)


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def closed() -> str:
    """A URL where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


def contents(folder: Path) -> dict[str, bytes]:
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def one_each(genres: Iterable[str] = GENRES) -> dict[str, bytes]:
    return {f"{genre}.00000": wav(genre) for genre in genres}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


Web = tuple[Path, str]


def test_clips_stand_in_a_folder_of_each_genre(web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clips = deliver(publish(*web, one_each()), tmp_path / "staging", tmp_path / "cache", None)
    expected = {f"{genre}/{genre}.00000.wav": wav(genre) for genre in GENRES}
    assert contents(tmp_path / "staging") == expected
    assert clips[0] == Clip(
        path="data/audio/blues/blues.00000.wav",
        label="blues",
        group="John Lee Hooker",
        origin="recording (GTZAN blues.00000)",
        licence="research use; no clear licence (commercial recordings, Tzanetakis and Cook 2002)",
    )
    assert [clip.path for clip in clips] == [f"data/audio/{name}" for name in expected]
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    ("names", "top", "archive"), [("full", "", "genres.tar.gz"), ("mini", "gtzan_mini-main/", "main.zip")]
)
def test_all_names_of_the_real_set_are_taken(
    web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture, names: str, top: str, archive: str
) -> None:
    wanted = publish(*web, {name: wav(name) for name in NAMES[names]}, top=top, archive=archive)
    clips = deliver(wanted, tmp_path / "staging", tmp_path / "cache", None)
    assert [Path(clip.path).stem for clip in clips] == NAMES[names]
    assert Counter(clip.label for clip in clips) == dict.fromkeys(GENRES, len(NAMES[names]) // 10)
    groups = {clip.group for clip in clips}
    assert len(groups) == {"full": 243, "mini": 42}[names]
    assert warnings(caplog) == []


def test_clips_unlike_the_index_are_named_and_kept(web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    listed = one_each() | {"jazz.00054": wav("jazz.00054"), "jazz.00055": wav("jazz.00055")}
    packed = one_each() | {"jazz.00054": b"unreadable", "pop.00777": wav("pop.00777")}
    clips = deliver(publish(*web, packed, listed), tmp_path / "staging", tmp_path / "cache", None)
    assert len(clips) == 12
    [message] = warnings(caplog)
    assert message.endswith("missing: jazz.00055; not listed: pop.00777; differing: jazz.00054")
    assert "blues" not in message


def test_without_its_index_the_set_is_still_had(web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wanted = publish(*web, one_each())
    (web[0] / "index.json").unlink()
    assert len(deliver(wanted, tmp_path / "staging", tmp_path / "cache", None)) == 10
    [message] = warnings(caplog)
    assert "not compared" in message
    assert "HTTP 404" in message


def test_the_mirror_is_tried_first(web: Web, tmp_path: Path) -> None:
    folder, url = web
    (folder / "mirror").mkdir()
    publish(folder, closed(), one_each(["pop"]))
    wanted = publish(folder / "mirror", closed(), one_each(["jazz"]))
    clips = deliver(wanted, tmp_path / "staging", tmp_path / "cache", f"{url}/mirror")
    assert [clip.label for clip in clips] == ["jazz"]


def test_a_mirror_that_fails_leaves_the_public_hosts(web: Web, tmp_path: Path) -> None:
    assert len(deliver(publish(*web, one_each()), tmp_path / "staging", tmp_path / "cache", closed())) == 10


def test_an_archive_in_the_cache_needs_no_network(web: Web, tmp_path: Path) -> None:
    folder, _ = web
    wanted = publish(folder, closed(), one_each())
    assert len(deliver(wanted, tmp_path / "staging", folder, None)) == 10


@pytest.mark.parametrize("members", [{"../pop.00000.wav": b""}, {"README.md": b"no audio"}])
def test_an_unusable_archive_is_named(web: Web, tmp_path: Path, members: dict[str, bytes]) -> None:
    folder, url = web
    index = publish(folder, url, one_each()).index
    pack(folder / "genres.tar.gz", members)
    wanted = Edition("gtzan", remote(folder / "genres.tar.gz", url), index)
    with pytest.raises(SourceError, match=r"cache/genres\.tar\.gz"):
        deliver(wanted, tmp_path / "staging", tmp_path / "cache", None)
    assert contents(tmp_path / "cache").keys() <= {"genres.tar.gz", "gtzan.lock"}


@pytest.mark.parametrize(
    ("source", "urls"),
    [
        ("gtzan", [gtzan.HUB, "http://opihi.cs.uvic.ca/sound/genres.tar.gz"]),
        ("gtzan-mini", ["https://github.com/TempoBeatDownbeat/gtzan_mini/archive/refs/heads/main.zip"]),
    ],
)
def test_without_a_network_the_error_says_what_was_tried_and_what_works(
    source: str, urls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A proxy where nobody listens keeps the public hosts out of reach on every machine.
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, closed())
        monkeypatch.setenv(name.upper(), closed())
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    mirror = closed()
    settings = Data(source="gtzan", starter=Starter(clips_per_style=1, seconds=10.0), mirror=f"{mirror}/", url=None)
    with pytest.raises(SourceError) as caught:
        load(source)(tmp_path / "staging", tmp_path / "cache", settings, 7)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"data.source {source}: ")
    tried = [f"{mirror}/{urls[0].rsplit('/', 1)[1]}", *urls]
    assert [line.strip().split(": ")[1] for line in lines[1 : 1 + len(tried)]] == tried
    assert all("refused" in line for line in lines[1 : 1 + len(tried)])
    assert "starter" in lines[-3]
    assert "folder" in lines[-3]
    assert contents(tmp_path / "cache").keys() == {"gtzan.lock"}


def test_the_published_checksums_are_those_known_of_the_originals() -> None:
    full, mini = gtzan.edition("gtzan", "1.0", "all"), gtzan.edition("gtzan-mini", "mini", "mini")
    assert (full.archive.name, full.archive.md5) == ("genres.tar.gz", "5b3d6dddb579ab49814ab86dba69e7c7")
    assert (mini.archive.name, mini.archive.md5) == ("main.zip", "44f7f23af8363d96c59663a987f29a4c")
    assert full.index.name == "gtzan_genre_index_1.0.json"
    assert mini.index.name == "gtzan_genre_1.0_mini_index.json"
