"""What a person sees of `make page` in a checkout that has run on tiny music."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from checkouts import CHORDS, RATE
from pageserver import serving
from processes import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Array = np.ndarray[Any, np.dtype[np.float32]]


@pytest.fixture(scope="module")
def address(finished: Path) -> Iterator[str]:
    with serving(finished) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture
def page(chromium: "Browser", address: str) -> Iterator["Page"]:
    """Anything that the page asks of another host, or that its policy forbids, is an error."""
    faults: list[str] = []
    with chromium.new_page(viewport={"width": 1400, "height": 900}) as shown:
        shown.on("request", lambda sent: faults.append(sent.url) if address not in sent.url else None)
        shown.on("pageerror", lambda error: faults.append(str(error)))
        shown.on("console", lambda said: faults.append(said.text) if "Content Security" in said.text else None)
        shown.set_default_timeout(1000 * PATIENCE_S)
        shown.goto(address)
        yield shown
    assert not [fault for fault in faults if not fault.startswith(("blob:", "data:"))]


def give(page: "Page", *files: Path) -> None:
    """Drop files on the page, as from a file manager."""
    page.evaluate("() => { window.transfer = new DataTransfer(); }")
    for file in files:
        page.evaluate(
            "([name, text]) => transfer.items.add(new File([Uint8Array.from(atob(text), one => one.charCodeAt(0))], name))",
            [file.name, base64.b64encode(file.read_bytes()).decode()],
        )
    page.evaluate("() => document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true }))")


def until(page: "Page", condition: str) -> None:
    """The browser's own way of waiting evaluates text, which the page's policy forbids."""
    wait_until(lambda: page.evaluate(condition))


@pytest.fixture
def song(tmp_path: Path) -> Callable[..., Path]:
    """``song("a.wav", ["low", "high"])``: a chord of 2 s for each."""

    def make(name: str, labels: list[str]) -> Path:
        time = np.arange(2 * RATE) / RATE
        chords = [0.1 * sum(np.sin(2 * np.pi * pitch * time) for pitch in CHORDS[label]) for label in labels]
        rng = np.random.default_rng(0)
        soundfile.write(tmp_path / name, np.concatenate(chords) + 0.01 * rng.normal(size=len(labels) * len(time)), RATE)
        return tmp_path / name

    return make


@pytest.mark.parametrize("width", [1400, 390])
def test_an_example_is_answered(page: "Page", width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    offered = page.get_by_role("button", name=re.compile(r"Example \d")).all()
    assert len(offered) == len(CHORDS)
    truths = [button.get_attribute("data-label") for button in offered]
    assert sorted(map(str, truths)) == sorted(CHORDS)
    verdicts = []
    for button, truth in zip(offered, truths, strict=True):
        assert truth not in button.inner_text()
        button.click()
        page.get_by_text(f"True label: {truth}.").wait_for()
        verdict, guess, share = page.evaluate("[answer.verdict, answer.guess, percent(answer.confidence)]")
        assert (
            page.locator("#headline").inner_text()
            == {
                "confident": f"{guess}, {share}",
                "uncertain": f"Not sure: best guess {guess}, {share}",
                "out-of-distribution": "Out of distribution: unlike what the model knows",
            }[verdict]
        )
        assert f"The best guess is {'right' if guess == truth else 'wrong'}." in page.locator("#truth").inner_text()
        assert sorted(page.locator("#legend span").all_inner_texts()) == sorted(CHORDS)
        assert page.locator("#legend li").first.inner_text().split("\n") == [guess, share]
        places = ["#strip i", "#legend i", "#now i", *(["#headline i"] if verdict != "out-of-distribution" else [])]
        colours = {
            page.locator(place).first.evaluate("one => getComputedStyle(one).backgroundColor") for place in places
        }
        assert len(colours) == 1, "one label, one colour"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        verdicts.append(verdict)
    assert {*verdicts} - {"out-of-distribution"}


def test_the_examples_are_test_clips(finished: Path) -> None:
    known = json.loads((finished / "candidate/manifest.json").read_text())
    assert known["source"] == "folder"
    clips = pd.read_parquet(finished / "data/clips.parquet").merge(pd.read_parquet(finished / "data/split.parquet"))
    part = clips.set_index("path")["part"]
    assert [part[example["path"]] for example in known["examples"]] == ["test"] * len(CHORDS)


def test_the_playhead_follows_the_song_and_leads_it(page: "Page", song: Callable[..., Path]) -> None:
    give(page, song("song.wav", ["low", "middle", "high"]))
    page.locator("#result").wait_for()
    until(page, "player.duration > 5")
    assert page.locator("#strip i").count() == 3
    now, seek = page.locator("#now"), page.get_by_role("slider", name="Position in the song")
    page.evaluate("player.currentTime = 5")
    until(page, "seek.value === '5'")
    assert now.inner_text().startswith("0:05:")
    box = seek.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    until(page, "Math.abs(player.currentTime - 3) < 0.1")
    assert now.inner_text().startswith("0:03:")
    seek.press("ArrowRight")
    until(page, "player.currentTime > 3.03")
    before = page.evaluate("player.currentTime")
    page.evaluate("player.play()")
    until(page, f"Number(seek.value) > {before} + 0.2")


def test_what_the_browser_cannot_play_is_shown_all_the_same(page: "Page", song: Callable[..., Path]) -> None:
    give(page, song("song.aiff", ["low", "high"]))
    page.get_by_text("This browser cannot play the format").wait_for()
    assert not page.locator("#player").is_visible()
    seek = page.get_by_role("slider", name="Position in the song")
    assert page.locator("#now").inner_text().startswith("0:00:")
    seek.press("End")
    assert page.locator("#now").inner_text().startswith("0:04:")
    give(page, song("song.wav", ["low"]))
    page.get_by_text("song.wav, 0:02").wait_for()
    assert page.locator("#player").is_visible()


def test_what_is_unlike_the_training_clips_is_grey_and_explained(page: "Page", tmp_path: Path) -> None:
    soundfile.write(tmp_path / "noise.wav", np.random.default_rng(0).normal(0, 0.2, 3 * RATE), RATE)
    give(page, tmp_path / "noise.wav")
    page.get_by_role("heading", name="Out of distribution").wait_for()
    assert "soundtrack import FOLDER" in page.locator("#advice").inner_text()
    assert "grayscale" in page.locator("#strip i").first.evaluate("one => getComputedStyle(one).filter")
    assert page.locator("#headline i").count() == 0


def test_what_is_no_song_is_said(page: "Page", song: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "junk.mp3").write_bytes(b"no music at all" * 100)
    (tmp_path / "empty.wav").write_bytes(b"")
    error = page.get_by_role("alert")
    for name, fault in (("junk.mp3", "cannot be decoded"), ("empty.wav", "the file is empty")):
        give(page, tmp_path / name)
        page.get_by_text(f"{name}: {fault}").wait_for()
        assert "Choose a WAV" in error.inner_text()
        assert not page.locator("#result").is_visible()
    give(page)
    page.get_by_text("What was dropped: not a file.").wait_for()
    page.evaluate("const huge = new File([new ArrayBuffer(201e6)], 'huge.wav'); classify(huge)")
    page.get_by_text("huge.wav: larger than 200 MB.").wait_for()
    give(page, song("one.wav", ["low"]), song("two.wav", ["high"]))
    page.locator("#result").wait_for()
    assert not error.is_visible()
    assert "one.wav" in page.locator("#status").inner_text()
    assert "One song at a time" in page.locator("#status").inner_text()


def test_a_song_can_be_cancelled_or_replaced(page: "Page", song: Callable[..., Path]) -> None:
    """The server's answer is held back until the test has looked."""
    held: list[Any] = []
    page.route("**/classify", lambda route: held.append(route))
    give(page, song("first.wav", ["low"]))
    page.get_by_text("Classifying first.wav").wait_for()
    assert page.get_by_role("progressbar").is_visible()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled.").wait_for()
    assert not page.get_by_role("progressbar").is_visible()
    give(page, song("second.wav", ["low"]))
    page.get_by_text("Classifying second.wav").wait_for()
    page.unroute("**/classify")
    give(page, song("third.wav", ["high"]))
    page.get_by_text("third.wav, 0:02").wait_for()
    assert page.locator("#result").is_visible()


def test_a_long_song_shows_how_far_it_is(page: "Page", song: Callable[..., Path]) -> None:
    page.evaluate(
        """() => {
            window.seen = [];
            new MutationObserver(() => seen.push(element("done").textContent)).observe(element("done"), { childList: true });
        }"""
    )
    give(page, song("long.wav", ["low", "middle", "high"] * 20))
    page.locator("#result").wait_for()
    assert any(re.fullmatch(r"\d:\d\d of 2:00", text) for text in page.evaluate("seen"))


def test_a_server_that_is_gone_is_said(chromium: "Browser", finished: Path, song: Callable[..., Path]) -> None:
    with chromium.new_page(viewport={"width": 390, "height": 900}) as page:
        with serving(finished) as port:
            page.goto(f"http://127.0.0.1:{port}/")
        give(page, song("song.wav", ["low"]))
        page.get_by_text("song.wav: the server does not answer").wait_for()
        assert "make page" in page.get_by_role("alert").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.get_by_role("button", name="Example 1").click()
        page.get_by_text("Example 1: the server does not answer").wait_for()
