"""The page's tab Label: what its server reads, plays and writes, and for whom."""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from checkouts import run
from fastapi.testclient import TestClient
from pageserver import serving
from processes import free_port

from pipeline import cli
from pipeline.serving import suggestions, webapp
from pipeline.tracking.registry import Registered

ROOT = Path(__file__).parents[2]
HOSTILE = "</script><img src=x onerror=alert(1)>"
NAMES = ("a.wav", "deep/b, c.wav", f"{HOSTILE.replace('/', '')}.wav", "é ñ.wav", "line\nbreak.wav")
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def music(song: Callable[..., Path], tmp_path: Path) -> Path:
    for seed, name in enumerate(NAMES):
        song("low", f"music/{name}", seed=seed)
    song("low", "music/unlisted.wav")
    song("low", "secret.wav")
    (tmp_path / "music/link.wav").symlink_to(tmp_path / "music/a.wav")
    return tmp_path / "music"


@pytest.fixture
def table(music: Path, tmp_path: Path) -> Path:
    """Also of files that are not below the folder, or gone."""
    names = [*NAMES, "link.wav", "../secret.wav", str(tmp_path / "secret.wav"), "gone.wav"]
    rows = [
        [name, "low", "low", f"0.{9 - number}00", "Ella", "confident", "", str(music)]
        for number, name in enumerate(names)
    ]
    suggestions.write(tmp_path / "suggested.csv", suggestions.COLUMNS, rows)
    return tmp_path / "suggested.csv"


@pytest.fixture
def client(bundle: Path, table: Path) -> TestClient:
    return TestClient(webapp.app(bundle, table), base_url="http://localhost")


def decision(path: str, label: str, seen: str = "low") -> dict[str, Any]:
    return {"json": {"path": path, "label": label, "seen": seen}}


def labels(table: Path) -> dict[str, tuple[str, bool]]:
    return {row.cells["path"]: (row.cells["label"], row.is_checked) for row in suggestions.read(table).rows}


def test_songs_of_the_table_are_played_in_pieces_and_no_others(client: TestClient, music: Path, tmp_path: Path) -> None:
    for name in (*NAMES, "link.wav"):
        content = (music / name).read_bytes()
        whole = client.get("/songs", params={"path": name})
        assert (whole.status_code, whole.content) == (HTTPStatus.OK, content)
        assert whole.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert whole.headers["content-type"] == "application/octet-stream", "whatever it is, no page of this server"
        piece = client.get("/songs", params={"path": name}, headers={"Range": "bytes=100-199"})
        assert (piece.status_code, piece.content) == (HTTPStatus.PARTIAL_CONTENT, content[100:200])
    for name in (
        "../secret.wav",
        str(tmp_path / "secret.wav"),
        "gone.wav",
        "unlisted.wav",
        "deep",
        "",
        "deep/../a.wav",
    ):
        assert client.get("/songs", params={"path": name}).status_code == HTTPStatus.NOT_FOUND, name
    assert client.get("/songs").status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def test_another_site_can_neither_label_nor_read(client: TestClient, table: Path) -> None:
    before = table.read_bytes()
    body = json.dumps(decision("a.wav", "rock")["json"])
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        refused = client.post("/labels", content=body, headers={"Content-Type": kind, "Origin": "http://evil.example"})
        assert refused.status_code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE, kind
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    preflight = client.options("/labels", headers=asked | {"Access-Control-Request-Headers": "content-type"})
    assert preflight.status_code == HTTPStatus.METHOD_NOT_ALLOWED, "so the browser sends no JSON"
    for method, path in (("GET", "/labels"), ("GET", "/songs?path=a.wav"), ("POST", "/labels")):
        away = client.request(method, path, headers={"Host": "evil.example", **JSON}, content=body)
        assert away.status_code == HTTPStatus.BAD_REQUEST
        assert "access-control-allow-origin" not in away.headers
    assert table.read_bytes() == before
    assert client.post("/labels", content=body, headers=JSON).status_code == HTTPStatus.OK


def test_the_page_has_the_tab_with_a_table_alone_and_shows_names_as_text(bundle: Path, client: TestClient) -> None:
    page = client.get("/")
    assert "http:" not in page.text
    assert HOSTILE not in page.text
    assert 'href="#label"' in page.text
    assert "media-src 'self' blob:" in page.headers["Content-Security-Policy"]
    alone = TestClient(webapp.app(bundle), base_url="http://localhost")
    assert 'href="#label"' not in alone.get("/").text
    for path in ("/labels", "/songs?path=a.wav"):
        assert alone.get(path).status_code == HTTPStatus.NOT_FOUND


def test_a_decision_is_in_the_file_at_once(client: TestClient, table: Path) -> None:
    shown = client.get("/labels").json()
    assert shown["labels"] == ["low", "middle", "high"]
    assert shown["songs"][0] == {
        "path": "a.wav", "label": "low", "suggested": "low", "artist": "Ella", "verdict": "confident",
        "confidence": 0.9, "checked": False,
    }  # fmt: skip
    after = client.post("/labels", **decision("a.wav", "  trip \n hop "))
    assert labels(table)["a.wav"] == ("trip hop", True)
    assert "trip hop" in after.json()["labels"]
    client.post("/labels", **decision("line\nbreak.wav", "low"))
    client.post("/labels", **decision("é ñ.wav", ""))
    found = labels(table)
    assert (found["line\nbreak.wav"], found["é ñ.wav"]) == (("low", True), ("", True))
    assert sum(checked for _, checked in found.values()) == 3
    assert client.post("/labels", **decision("a.wav", "x" * 201, "trip hop")).status_code == 422


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", suggestions.BOM])
def test_no_other_row_changes_by_a_byte(
    end: str, separator: str, mark: str, client: TestClient, table: Path, music: Path
) -> None:
    """As a spreadsheet may write it: columns moved and added, all quoted, a blank row, short rows, no last end of line."""
    lines = [
        ["Note", "PATH", "Label ", "checked", "folder", "confidence", ""],
        [f'"a{separator} note"', '"a.wav"', '"low"', '""', f'"{music}"', '"0,25"', '"more"'],
        [],
        ['"two\nlines"', f'"{NAMES[1]}"', "low", "", f'"{music}"', "", ""],
        ["", "é ñ.wav", " low", "x"],
    ]
    texts = [separator.join(line) + end for line in lines]
    texts[-1] = texts[-1].removesuffix(end)
    table.write_text(mark + "".join(texts), encoding="utf-8", newline="")
    assert [song["confidence"] for song in client.get("/labels").json()["songs"]] == [0.25, 0, 0]
    assert client.post("/labels", **decision(NAMES[1], "new")).status_code == HTTPStatus.OK
    name = f'"{NAMES[1]}"' if separator == "," else NAMES[1]
    texts[3] = separator.join(['"two\nlines"', name, "new", "yes", str(music), "", ""]) + end
    assert table.read_bytes() == (mark + "".join(texts)).encode()
    assert client.post("/labels", **decision("é ñ.wav", "")).status_code == HTTPStatus.OK
    texts[4] = separator.join(["", "é ñ.wav", "", "yes", "", "", ""])
    assert table.read_bytes() == (mark + "".join(texts)).encode()


def test_what_was_changed_on_disk_meanwhile_is_not_overwritten(client: TestClient, table: Path) -> None:
    rewritten = table.read_text(encoding="utf-8").replace("a.wav,low,", "a.wav,polka,").replace("gone.wav", "new.wav")
    table.write_text(rewritten, encoding="utf-8", newline="")
    before = table.read_bytes()
    for path, seen in (("a.wav", "low"), ("gone.wav", "low")):
        refused = client.post("/labels", **decision(path, "rock", seen))
        assert refused.status_code == HTTPStatus.CONFLICT
        assert "suggested.csv was changed meanwhile" in refused.json()["detail"]
    assert table.read_bytes() == before
    shown = {song["path"]: song["label"] for song in client.get("/labels").json()["songs"]}
    assert (shown["a.wav"], shown["new.wav"]) == ("polka", "low")
    client.post("/labels", **decision("new.wav", "rock"))
    assert labels(table)["a.wav"] == ("polka", False)
    table.unlink()
    for gone in (client.get("/labels"), client.post("/labels", **decision("a.wav", "rock", "polka"))):
        assert gone.status_code == HTTPStatus.CONFLICT
        assert "is not here: `soundtrack suggest FOLDER" in gone.json()["detail"]


def test_decisions_at_the_same_time_are_all_written(client: TestClient, table: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda name: client.post("/labels", **decision(name, "rock")).status_code, NAMES))
    assert done == [HTTPStatus.OK] * len(NAMES)
    assert [labels(table)[name] for name in NAMES] == [("rock", True)] * len(NAMES)
    assert not list(table.parent.glob(".suggested*"))


OLD_PAGE = """
import argparse, http.server
parser = argparse.ArgumentParser()
parser.add_argument("bundle")
parser.add_argument("--port", type=int)
http.server.HTTPServer(("127.0.0.1", parser.parse_args().port), http.server.BaseHTTPRequestHandler).serve_forever()
"""


def test_a_page_that_has_no_such_tab_is_said(
    model: Registered, table: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of the code of an earlier model; by default it is served without the tab."""
    (model.code / "pipeline").unlink()
    (model.code / "pipeline/serving").mkdir(parents=True)
    (model.code / "pipeline/serving/webapp.py").write_text(OLD_PAGE)
    given = ("--model", str(model.folder))
    page = (sys.executable, "-m", "pipeline.cli", "page", "--port", str(free_port()), *given)
    here = {"PYTHONPATH": str(ROOT)}
    said = run(tmp_path, *page, "--labels", str(table), ok=False, variables=here)
    assert "has no tab Label: `make repro` makes a model that has" in said
    assert "Traceback" not in said
    with serving(tmp_path, *given):
        said = capfd.readouterr().out
    assert "Without the tab Label for suggested.csv: the code of model" in said


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "is not here: `soundtrack suggest FOLDER --table suggested.csv` makes it"),
        ("file,label\na.wav,rock\n", "lacks `path`, `checked`, `folder`"),
        ("path,label,checked,folder\na.wav,x,,/a\nb.wav,x,,/b\n", "it names several: /a, /b"),
        ("path,label,checked,folder\n", "it names none"),
    ],
)
def test_a_table_that_cannot_be_used_is_said_before_the_page_starts(
    content: str | None, fault: str, model: Registered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "suggested.csv").write_text(content)
    monkeypatch.chdir(tmp_path)
    options = ["--labels", "suggested.csv", "--model", str(model.folder), "--port", str(free_port())]
    monkeypatch.setattr(sys, "argv", ["soundtrack", "page", *options])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert fault in str(end.value.code)
