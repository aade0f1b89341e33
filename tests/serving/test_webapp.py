"""The page to try a model: its server as a process of its own, with requests like a browser's."""

import asyncio
import http.client
import json
import re
import shutil
import socket
from collections.abc import Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import onnx.parser
import pytest
import soundfile
from checkouts import run
from fastapi.testclient import TestClient
from pageserver import serving
from processes import PATIENCE_S, free_port

from pipeline.base.errors import UserError
from pipeline.base.files import sha256, write_json
from pipeline.config.project import Params
from pipeline.features.sound import Sound
from pipeline.library import commands
from pipeline.serving import manifest, webapp
from pipeline.serving.manifest import Example, Manifest
from pipeline.serving.ood import OodDetector, row
from pipeline.serving.predictor import Predictor, SegmentPrediction, SongPrediction
from pipeline.serving.segments import Segment
from pipeline.serving.webapp import SongSpectrogram
from pipeline.tracking import registry
from pipeline.tracking.registry import Registered

ROOT = Path(__file__).parents[2]
RATE = 22050
SECTION_S = 2.0
HOSTILE = "<img src=x onerror=alert(1)>"
Array = np.ndarray[Any, np.dtype[np.float32]]
Sounds = Callable[..., Array]

GRAPH = """
<ir_version: 10, opset_import: ["": 18]>
three (float[batch, 57] tabular) => (float[batch, 3] probabilities) {
    from = Constant <value_ints = [0]> ()
    to = Constant <value_ints = [3]> ()
    axis = Constant <value_ints = [1]> ()
    first = Slice (tabular, from, to, axis)
    bias = Constant <value_floats = [0.0, 2.0, 0.0]> ()
    logits = Add (first, bias)
    probabilities = Softmax <axis = 1> (logits)
}
"""
"""The second label is the likeliest, and how likely depends on the sound."""


@pytest.fixture(scope="module")
def bundle(
    tmp_path_factory: pytest.TempPathFactory, settings: Params, known: Callable[..., Manifest], noise: Sounds
) -> Path:
    """A model for which noise is in distribution."""
    folder = tmp_path_factory.mktemp("bundle")
    onnx.save(onnx.parser.parse_model(GRAPH), str(folder / manifest.GRAPH))
    clips = [Sound(noise(seed, SECTION_S), RATE) for seed in range(4)]
    OodDetector.fit(np.concatenate([row(clip, settings.features) for clip in clips])).save(folder / manifest.OOD)
    found = known(labels=["jazz", HOSTILE, "rock"], longest_s=SECTION_S, confidence_threshold=0.4, ood_threshold=1e9)
    write_json(folder / manifest.FILE, found.model_dump())
    return folder


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory, tone: Sounds, noise: Sounds) -> Path:
    """Five sections, each of its own kind."""
    file = tmp_path_factory.mktemp("song") / "song.wav"
    sounds = [noise(number, SECTION_S) + tone(220.0 * 2**number, SECTION_S) for number in range(5)]
    soundfile.write(file, np.concatenate(sounds), RATE)
    return file


HARNESS = """
from pipeline.serving import original

original.MAX_BYTES = 1_000_000
original.main()
"""
"""Replaces the page's module in a model's own code: limits files to 1 MB."""


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory, tone: Sounds) -> list[Example]:
    """Their paths are relative to :func:`checkout`, but for the last: the second was changed, the third is gone."""
    folder = tmp_path_factory.mktemp("checkout") / "data/audio"
    folder.mkdir(parents=True)
    found = []
    for number, label in enumerate(["jazz", "rock", HOSTILE, "jazz"]):
        file = folder / f"{label[0]} {number}.wav"
        soundfile.write(file, tone(220.0 * 2**number, SECTION_S), RATE)
        path = str(file if number == 3 else file.relative_to(folder.parents[1]))
        found.append(Example(path=path, label=label, sha256=sha256(file)))
    soundfile.write(folder / "r 1.wav", tone(1000.0, SECTION_S), RATE)
    (folder / "< 2.wav").unlink()
    return found


@pytest.fixture(scope="module")
def checkout_of_examples(examples: list[Example]) -> Path:
    return Path(examples[3].path).parents[2]


@pytest.fixture(scope="module")
def port(
    bundle: Path, examples: list[Example], checkout_of_examples: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """Of ``soundtrack page`` in the checkout, with a registered model whose code is not the checkout's."""
    model = tmp_path_factory.mktemp("model")
    copy = shutil.copytree(bundle, model / "artifacts" / registry.BUNDLE)
    known = manifest.load(bundle)
    write_json(copy / manifest.FILE, known.model_copy(update={"examples": examples}).model_dump())
    (model / "MLmodel").touch()
    code = shutil.copytree(registry.CODE, model / "code/pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    module = code / "serving/webapp.py"
    module.rename(module.with_name("original.py"))
    module.write_text(HARNESS)
    with serving(checkout_of_examples, "--model", str(model)) as port:
        yield port


def post(port: int, body: bytes | Iterator[bytes], **headers: str) -> tuple[int, dict[str, Any]]:
    """Status and answer; a body in pieces does not state its size."""
    response = asked(port, "POST", "/classify", body, **headers)
    return response.status, json.loads(response.read())


def asked(
    port: int, method: str, path: str, body: bytes | Iterator[bytes] = b"", **headers: str
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request(method, path, body, headers)
    return connection.getresponse()


def test_the_page_gives_the_predictors_values(port: int, bundle: Path, song: Path) -> None:
    """Bit for bit, in a process of another number of threads."""
    status, answer = post(port, song.read_bytes())
    assert status == HTTPStatus.OK
    expected = Predictor(bundle)(song)
    assert answer["label"] == HOSTILE
    assert answer["headline"] == f"{HOSTILE}, {webapp.percent(expected.confidence)}"
    assert answer["verdict"] == "confident"
    np.testing.assert_array_equal([dict(answer["ranking"])[label] for label in expected.labels], expected.probabilities)
    assert [label for label, _ in answer["ranking"]] == [label for label, _ in expected.ranking]
    assert answer["seconds"] == pytest.approx(5 * SECTION_S)
    assert len(answer["segments"]) == len(expected.segments) == 5
    for segment, own in zip(answer["segments"], expected.segments, strict=True):
        assert (segment["start_s"], segment["stop_s"]) == (own.start_s, own.stop_s)
        np.testing.assert_array_equal([segment["probabilities"][label] for label in expected.labels], own.probabilities)
    assert np.ptp([segment["probabilities"][HOSTILE] for segment in answer["segments"]]) > 0.001
    assert answer["spectrogram"].startswith("data:image/png;base64,")


def test_who_asks_for_lines_sees_progress_and_gets_the_same_answer(port: int, song: Path) -> None:
    response = asked(port, "POST", "/classify", song.read_bytes(), Accept=webapp.LINES)
    *steps, answer = map(json.loads, response.read().splitlines())
    assert response.headers["Content-Type"].startswith(webapp.LINES)
    assert steps == [{"analysed_s": pytest.approx(SECTION_S * number)} for number in range(1, 6)]
    assert answer == post(port, song.read_bytes())[1]
    refused = asked(port, "POST", "/classify", b"no music at all" * 100, Accept=webapp.LINES)
    assert refused.status == HTTPStatus.BAD_REQUEST
    assert "cannot be decoded" in json.loads(refused.read())["detail"]


def test_only_the_examples_that_are_there_unchanged_are_served(
    port: int, examples: list[Example], checkout_of_examples: Path
) -> None:
    text = asked(port, "GET", "/").read().decode()
    assert re.findall(r'data-label="(.*?)".*>(Example \d)<', text) == [("jazz", "Example 1"), ("jazz", "Example 2")]
    for number, example in enumerate((examples[0], examples[3])):
        response = asked(port, "GET", f"/examples/{number}")
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert response.read() == (checkout_of_examples / example.path).read_bytes()
    for path in ("2", "-1", "..%2f..%2fparams.yaml", "../params.yaml", quote("data/audio/r 1.wav")):
        assert asked(port, "GET", f"/examples/{path}").status in (HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)


@pytest.mark.parametrize("told", [True, False])
def test_a_song_is_not_analysed_further_when_nobody_waits(
    told: bool, bundle: Path, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server without a network: a client that goes once the first segment is analysed."""
    analysed: list[float] = []
    original = Predictor.predict_segment

    def counted(self: Predictor, segment: Segment, sound: Sound) -> SegmentPrediction:
        analysed.append(segment.start_s)
        return original(self, segment, sound)

    async def receive() -> dict[str, Any]:
        if not bodies:
            while not analysed:
                await asyncio.sleep(0.01)
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": bodies.pop(), "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        pass

    monkeypatch.setattr(Predictor, "predict_segment", counted)
    bodies = [song.read_bytes()]
    accept = webapp.LINES if told else "*/*"
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/classify", "raw_path": b"/classify", "query_string": b"", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2), "headers": [(b"host", b"localhost"), (b"accept", accept.encode())],
    }  # fmt: skip
    with ThreadPoolExecutor(1) as thread:  # in this one playwright may have a loop of its own
        thread.submit(lambda: asyncio.run(webapp.app(bundle)(scope, receive, send))).result()
    assert 1 <= len(analysed) < 5


def test_an_unusable_file_is_refused_with_a_reason_and_the_server_goes_on(
    port: int, song: Path, tmp_path: Path
) -> None:
    silence = tmp_path / "silence.wav"
    soundfile.write(silence, np.zeros(3 * RATE), RATE)
    for body, reason in (
        (b"", "the file is empty"),
        (b"no music at all" * 100, "cannot be decoded"),
        (song.read_bytes()[:50], "too short"),
        (silence.read_bytes(), "silent"),
    ):
        status, answer = post(port, body)
        assert (status, reason in answer["detail"]) == (HTTPStatus.BAD_REQUEST, True), answer
    assert post(port, song.read_bytes())[0] == HTTPStatus.OK


def test_the_page_needs_nothing_from_outside_and_shows_names_as_text(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/")
    response = connection.getresponse()
    text = response.read().decode()
    assert "default-src 'none'" in str(response.headers["Content-Security-Policy"])
    assert "http:" not in text
    assert "https:" not in text
    assert HOSTILE not in text
    assert "&lt;img src=x" in text
    connection.request("GET", "/", headers={"Host": "elsewhere.example"})
    assert connection.getresponse().status == HTTPStatus.BAD_REQUEST


def test_a_file_that_is_too_large_is_refused_whether_its_size_is_stated_or_not(port: int) -> None:
    refused = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"detail": "larger than 1 MB"})
    assert post(port, b"", **{"Content-Length": "1000001"}) == refused
    assert post(port, (bytes(100_000) for _ in range(11))) == refused


def predicted(distance: float, verdict: Any) -> SongPrediction:
    return SongPrediction(["jazz", "rock"], np.array([0.25, 0.75]), distance, verdict, [], {})


def test_verdicts_in_words(bundle: Path) -> None:
    known = manifest.load(bundle)
    confident, uncertain, far = (
        predicted(1, "confident"),
        predicted(1, "uncertain"),
        predicted(2000, "out-of-distribution"),
    )
    assert webapp.headline(confident) == "rock, 75\u00a0%"
    assert "above the confidence threshold of 40\u00a0%, where 80\u00a0% of answers" in webapp.sentence(
        confident, known
    )
    assert webapp.headline(uncertain) == "Not sure: best guess rock, 75\u00a0%"
    assert "below the confidence threshold of 40\u00a0%" in webapp.sentence(uncertain, known)
    assert "never sure" in webapp.sentence(uncertain, known.model_copy(update={"confidence_threshold": 1.01}))
    assert webapp.headline(far).startswith("Out of distribution")
    assert "2000.0, the threshold 1000000000.0" in webapp.sentence(far, known)
    assert [webapp.percent(share) for share in (0.0, 0.994, 0.998, 1.0)] == [
        "0\u00a0%", "99\u00a0%", "over 99\u00a0%", "100\u00a0%",
    ]  # fmt: skip


@pytest.mark.parametrize("synthesised", [True, False])
def test_the_page_says_what_the_model_was_trained_on(synthesised: bool, bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    known = manifest.load(copy).model_copy(update={"synthesised": synthesised, "source": "the-source"})
    write_json(copy / manifest.FILE, known.model_dump())
    text = TestClient(webapp.app(copy), base_url="http://localhost").get("/").text
    assert ("does not know recordings" in text) == synthesised
    assert "data source the-source" in text
    assert "soundtrack import FOLDER" in text
    assert "Example 1" not in text


def test_a_long_song_takes_no_more_columns(settings: Params, tone: Sounds) -> None:
    """Five minutes, of which only the first and the last seconds sound: what is between them is dark."""
    seen = SongSpectrogram(settings.features)
    hop = settings.features.spectrogram.hop_length
    for start_s in (0.0, 298.0):
        seen.add(start_s, Sound(tone(440.0, 2.0), RATE))
    assert 300 * RATE / hop / seen._span < webapp.MAX_COLUMNS
    bright = np.flatnonzero(seen._sums.sum(axis=1))
    gaps = np.flatnonzero(np.diff(bright) > 1)
    assert len(gaps) == 1
    seconds = bright[[gaps[0], gaps[0] + 1, -1]] * seen._span * hop / RATE
    np.testing.assert_allclose(seconds, [2.0, 298.0, 300.0], atol=0.5)
    assert seen.png().startswith(b"\x89PNG")


@pytest.mark.parametrize("command", ["page", "serve", "ui"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_a_port_in_use_is_said_before_anything_is_started(command: str, host: str) -> None:
    """By a program that accepts connections or not, on this machine's address or on all."""
    with socket.socket(socket.AF_INET6 if host == "::" else socket.AF_INET) as other:
        other.bind((host, 0))
        other.listen()
        port = other.getsockname()[1]
        # `make` without what it would install first
        made = f"make --old-file .venv/installed --assume-old .venv/installed {command} PORT={port}"
        said = run(ROOT, *made.split(), ok=False)
    assert f"error: port {port} cannot be used (Address already in use)" in said
    assert f"soundtrack {command} --port" in said
    assert "Traceback" not in said


def test_a_model_whose_code_has_no_page_is_refused(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bundle, tmp_path / "artifacts" / registry.BUNDLE)
    monkeypatch.setattr(commands, "chosen", lambda _: Registered("3", tmp_path, "models:/soundtrack/3"))
    with pytest.raises(UserError, match="the code of model 3 has no page"):
        commands.page(None, free_port())
