"""The documents' servers, on the ports that the documents name."""

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import documented
import pytest
import requests
import soundfile
from checkouts import CHORDS, environment, make_music
from documented import Typed
from processes import PATIENCE_S, wait_until

BY_PATH = documented.starting("curl http://127.0.0.1:5001")
BY_BYTES = documented.starting("{ printf")
HERE = {"no_proxy": "127.0.0.1"}


def open_port(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


@contextmanager
def served(folder: Path, command: str, port: int, health: str) -> Iterator[str]:
    """The address of a server that a command starts, as long as it runs; stopped as by Ctrl-C."""
    if open_port(port):
        pytest.skip(f"port {port}, which the documents name, is taken")
    with (folder.parent / f"{port}.log").open("w+") as log:
        server = subprocess.Popen(
            ["bash", "-ec", command],
            cwd=folder,
            env=environment(folder),
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            wait_until(partial(answers, f"http://127.0.0.1:{port}{health}"), server)
            yield f"http://127.0.0.1:{port}"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            server.wait(PATIENCE_S)
            wait_until(lambda: not open_port(port))


def answers(address: str) -> bool:
    with suppress(requests.RequestException):
        return direct().get(address, timeout=5).ok
    return False


def direct() -> requests.Session:
    """Asks without the proxy that the environment may name."""
    session = requests.Session()
    session.trust_env = False
    return session


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """An MP3 in ``Music`` of the user's home folder."""
    make_music(tmp_path / "made", clips=1)
    (tmp_path / "Music").mkdir()
    samples, rate = soundfile.read(tmp_path / "made/high/high 0.wav")
    soundfile.write(tmp_path / "Music/song.mp3", samples, rate)
    return tmp_path / "Music/song.mp3"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")
@pytest.mark.documented("make serve", "soundtrack serve --workers 2", BY_PATH, BY_BYTES)
def test_the_server_answers_curl(checkout: Path, typed: Typed, song: Path) -> None:
    for command in ("make serve", "soundtrack serve --workers 2"):
        with served(checkout, typed.text(command), 5001, "/ping"):
            silent = {"curl http": "curl --silent http"}
            by_path = typed(song.parent, BY_PATH, instead={**silent, "/home/me": str(song.parents[1])}, variables=HERE)
            by_bytes = typed(song.parent, BY_BYTES, instead=silent, variables=HERE)
        [answer], [same] = (json.loads(text)["predictions"] for text in (by_path, by_bytes))
        assert answer == same
        assert max(CHORDS, key=lambda label: answer[f"p:{label}"]) == "high"


@pytest.mark.documented("make page")
def test_the_page_takes_a_song(checkout: Path, typed: Typed, song: Path) -> None:
    with served(checkout, typed.text("make page"), 8000, "/") as address:
        assert "<html" in direct().get(address, timeout=PATIENCE_S).text
        answer: Any = direct().post(f"{address}/classify", data=song.read_bytes(), timeout=PATIENCE_S).json()
    assert answer["ranking"][0][0] == "high"
    assert len(answer["segments"]) >= 1


@pytest.mark.documented("make ui")
def test_mlflows_pages_show_the_runs(checkout: Path, typed: Typed) -> None:
    with served(checkout, typed.text("make ui"), 5000, "/health") as address:
        ask = partial(direct().post, timeout=PATIENCE_S)
        assert "<html" in direct().get(address, timeout=PATIENCE_S).text
        found = ask(f"{address}/ajax-api/2.0/mlflow/experiments/search", json={"max_results": 100}).json()
        ids = {one["name"]: one["experiment_id"] for one in found["experiments"]}
        rows = ask(f"{address}/ajax-api/2.0/mlflow/runs/search", json={"experiment_ids": [ids["soundtrack"]]}).json()[
            "runs"
        ]
    assert {"logreg", "mlp", "comparison"} <= {row["info"]["run_name"] for row in rows}
