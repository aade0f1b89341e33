"""The page to try a model: its server as a process of its own, with requests like a browser's, and with a browser."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
import soundfile
from processes import PATIENCE_S, free_port, wait_until

from pipeline.base.errors import UserError
from pipeline.base.files import write_json
from pipeline.config.project import Params
from pipeline.features import extract
from pipeline.features.sound import Sound
from pipeline.library import commands
from pipeline.serving import manifest, webapp
from pipeline.serving.manifest import Manifest
from pipeline.serving.ood import KIND, OodDetector
from pipeline.serving.predictor import Predictor, SongPrediction
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
    blocks = [extract.of_decoded(clip, [KIND], settings.features)[KIND] for clip in clips]
    rows = np.array([np.frombuffer(block.content, np.float32) for block in blocks], np.float64)
    OodDetector.fit(rows).save(folder / manifest.OOD)
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


@contextmanager
def serving(*command: str) -> Iterator[int]:
    """The port of a server that has begun to answer; it ends with the block."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", *command, "--port", str(port)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "4"},
        text=True,
    )
    try:
        wait_until(partial(answers, port), process)
        yield port
    finally:
        process.terminate()
        process.wait()


def answers(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


HARNESS = """
from pathlib import Path
from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse
from pipeline.serving import original

def app(bundle: Path) -> FastAPI:
    served = plain(bundle)

    @served.get("/song")
    def song() -> FileResponse:
        return FileResponse(bundle / "song.wav")

    @served.get("/drop")
    def drop() -> HTMLResponse:
        return HTMLResponse((bundle / "drop.html").read_text())

    return served

original.MAX_BYTES = 1_000_000
plain, original.app = original.app, app
original.main()
"""
"""Replaces the page's module in a model's own code: adds a page and a song, and limits files to 1 MB."""

DROP = """
<iframe id="page" src="/"></iframe><pre id="shown"></pre>
<script>
const frame = document.getElementById("page");
frame.onload = async () => {
  const { document: page, DataTransfer, DragEvent, File } = frame.contentWindow;
  const content = await (await fetch("/song")).arrayBuffer();
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([content], "<b>song</b>.wav"));
  page.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
  while (page.getElementById("result").hidden) await new Promise(later => setTimeout(later, 100));
  const text = id => page.getElementById(id).textContent;
  document.getElementById("shown").textContent = [
    text("headline"), text("status"), text("sentence"), text("legend"),
    `${page.querySelectorAll("#chart rect").length} areas, ${page.querySelectorAll("main img, main b b").length} intruders`,
  ].join("; ");
};
</script>
"""


@pytest.fixture(scope="module")
def port(bundle: Path, song: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of ``soundtrack page`` in the checkout, with a registered model whose code is not the checkout's."""
    model = tmp_path_factory.mktemp("model")
    copy = shutil.copytree(bundle, model / "artifacts" / registry.BUNDLE)
    shutil.copy(song, copy / "song.wav")
    (copy / "drop.html").write_text(DROP)
    code = shutil.copytree(registry.CODE, model / "code/pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    module = code / "serving/webapp.py"
    module.rename(module.with_name("original.py"))
    module.write_text(HARNESS)
    with serving("page", "--model", str(model)) as port:
        yield port


def post(port: int, body: bytes | Iterator[bytes], **headers: str) -> tuple[int, dict[str, Any]]:
    """Status and answer; a body in pieces does not state its size."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("POST", "/classify", body, headers)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def test_the_page_gives_the_predictors_values(port: int, bundle: Path, song: Path) -> None:
    """Bit for bit, in a process of another number of threads."""
    status, answer = post(port, song.read_bytes())
    assert status == HTTPStatus.OK
    expected = Predictor(bundle)(song)
    assert answer["label"] == HOSTILE == answer["headline"]
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


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium to drop a song in")
def test_a_song_that_is_dropped_in_a_browser_is_shown(port: int, tmp_path: Path) -> None:
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        ["chromium", *options, "--virtual-time-budget=60000", "--dump-dom", f"http://127.0.0.1:{port}/drop"],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    shown = done.stdout.split('<pre id="shown">')[1].split("</pre>")[0]
    escaped = HOSTILE.replace("<", "&lt;").replace(">", "&gt;")
    assert shown.startswith(f"{escaped}; &lt;b&gt;song&lt;/b&gt;.wav, 10 s of audio; Its probability"), shown
    assert "15 areas, 0 intruders" in shown


def predicted(distance: float, verdict: Any) -> SongPrediction:
    return SongPrediction(["jazz", "rock"], np.array([0.25, 0.75]), distance, verdict, [])


def test_verdicts_in_words(bundle: Path) -> None:
    known = manifest.load(bundle)
    confident, uncertain, far = (
        predicted(1, "confident"),
        predicted(1, "uncertain"),
        predicted(2000, "out-of-distribution"),
    )
    assert webapp.headline(confident) == "rock"
    assert "75%. The confidence threshold is 40%. Above that, 80% of predictions" in webapp.sentence(confident, known)
    assert webapp.headline(uncertain) == "Uncertain, perhaps rock"
    assert "The best guess is below 40%" in webapp.sentence(uncertain, known)
    assert "never confident" in webapp.sentence(uncertain, known.model_copy(update={"confidence_threshold": 1.01}))
    assert webapp.headline(far) == "Out of distribution"
    assert "unlike all training clips" in webapp.sentence(far, known)


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


def test_a_model_whose_code_has_no_page_is_refused(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bundle, tmp_path / "artifacts" / registry.BUNDLE)
    monkeypatch.setattr(commands, "chosen", lambda _: Registered("3", tmp_path, "models:/soundtrack/3"))
    with pytest.raises(UserError, match="the code of model 3 has no page"):
        commands.page(None, 8000)
