"""What a person sees and hears of the page's tab Label, and what it writes."""

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import soundfile
from bundles import RATE, chord, registered
from pageserver import serving
from processes import PATIENCE_S, wait_until

from pipeline.serving import suggestions

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SONGS = {
    "deep/sure.wav": ("low", 0.9),
    "unsure.wav": ("middle", 0.4),
    "unlike.wav": ("", 0.0),
    "<b>odd & name.wav": ("high", 0.6),
    "none.aiff": ("high", 0.7),
}
"""By path: label and confidence. All but the last can be played by a browser."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server runs: it reads the table anew for each test."""
    return tmp_path_factory.mktemp("labelling")


@pytest.fixture
def table(folder: Path) -> Path:
    """With the songs that it lists."""
    music, rows = folder / "music", []
    for seed, (name, (label, confidence)) in enumerate(SONGS.items()):
        (music / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(music / name, chord(220.0, 20.0, seed), RATE)
        said = ("confident", f"{confidence:.3f}") if label else ("out-of-distribution", "")
        rows.append([name, label, label, said[1], "Ella", said[0], "", str(music)])
    suggestions.write(folder / "suggested.csv", suggestions.COLUMNS, rows)
    return folder / "suggested.csv"


@pytest.fixture(scope="module")
def address(folder: Path, _bundle: Path) -> Iterator[str]:
    model = registered(_bundle, folder / "model")
    suggestions.write(folder / "suggested.csv", suggestions.COLUMNS, [["a.wav", *[""] * 6, str(folder)]])
    with serving(folder, "--model", str(model.folder)) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture
def page(chromium: "Browser", address: str, table: Path) -> Iterator["Page"]:
    """What another host is asked for, or the page's policy forbids, is an error."""
    assert table.exists()
    faults: list[str] = []
    with chromium.new_page(viewport={"width": 1400, "height": 900}) as shown:
        shown.on("request", lambda sent: faults.append(sent.url) if address not in sent.url else None)
        shown.on("pageerror", lambda error: faults.append(str(error)))
        shown.on("console", lambda said: faults.append(said.text) if "Content Security" in said.text else None)
        shown.set_default_timeout(1000 * PATIENCE_S)
        shown.goto(address)
        shown.get_by_role("link", name="Label").click()
        shown.locator("#deciding").wait_for()
        yield shown
    assert not [fault for fault in faults if not fault.startswith(("blob:", "data:"))]


def written(table: Path) -> dict[str, tuple[str, bool]]:
    return {row.cells["path"]: (row.cells["label"], row.is_checked) for row in suggestions.read(table).rows}


def shows(page: "Page", name: str, counter: str) -> None:
    page.get_by_role("heading", name=name, exact=True).wait_for()
    page.get_by_text(f"{counter} checked", exact=True).wait_for()


def heard(page: "Page", condition: Callable[[Any], bool], what: str = "currentTime") -> None:
    wait_until(lambda: condition(page.evaluate(f"document.getElementById('song').{what}")))


def test_the_least_certain_come_first_and_each_key_is_in_the_file_at_once(page: "Page", table: Path) -> None:
    left = written(table)
    shows(page, "unlike.wav", "0 of 5")
    assert "no suggestion" in page.locator("#said").inner_text()
    assert page.locator("#keep").is_disabled()
    page.keyboard.press("Enter")
    page.keyboard.press("0")
    shows(page, "unsure.wav", "1 of 5")
    assert written(table) == (left := left | {"unlike.wav": ("", True)})

    assert "middle, 40" in page.locator("#said").inner_text()
    page.keyboard.press(" ")
    heard(page, lambda seconds: seconds > 0.1)
    page.evaluate("document.getElementById('song').currentTime = 15")
    heard(page, lambda seconds: seconds > 15.1)
    page.keyboard.press("Enter")
    shows(page, "<b>odd & name.wav", "2 of 5")
    assert written(table) == (left := left | {"unsure.wav": ("middle", True)})
    heard(page, lambda paused: not paused, "paused")
    page.keyboard.press(" ")
    heard(page, bool, "paused")

    digits = {button.inner_text().split("\n")[0].split()[0]: number for number, button in enumerate(choices(page), 1)}
    assert set(digits) == {"low", "middle", "high"}
    page.keyboard.press(str(digits["low"]))
    shows(page, "none.aiff", "3 of 5")
    assert written(table) == (left := left | {"<b>odd & name.wav": ("low", True)})

    page.get_by_text("This browser cannot play the format: listen").wait_for()
    page.get_by_label("Another label").fill("trip hop 1")
    page.get_by_label("Another label").press("ArrowLeft")
    page.get_by_label("Another label").press("2")
    page.get_by_label("Another label").press("Enter")
    shows(page, "sure.wav", "4 of 5")
    assert page.locator("#unheard").is_hidden()
    assert written(table) == (left := left | {"none.aiff": ("trip hop 21", True)})

    page.get_by_role("button", name="trip hop 21").click()
    page.get_by_text("All songs are checked (trip hop 21 2, middle 1, low 1, no label 1).").wait_for()
    assert written(table) == left | {"deep/sure.wav": ("trip hop 21", True)}
    assert page.locator("#command").inner_text() == f"soundtrack import {table.parent}/music --labels suggested.csv"


def choices(page: "Page") -> list[Any]:
    return list(page.locator("#labels button").all())


def test_arrows_decide_nothing_and_what_was_decided_can_be_changed(page: "Page", table: Path) -> None:
    before = table.read_bytes()
    for key, name in (("ArrowLeft", "unlike.wav"), ("ArrowRight", "unsure.wav"), ("ArrowRight", "<b>odd & name.wav")):
        page.keyboard.press(key)
        shows(page, name, "0 of 5")
    page.get_by_role("button", name="Previous").click()
    shows(page, "unsure.wav", "0 of 5")
    page.keyboard.press("Control+1")
    assert table.read_bytes() == before
    page.get_by_role("button", name="No label").click()
    shows(page, "<b>odd & name.wav", "1 of 5")
    page.keyboard.press("ArrowLeft")
    page.get_by_text("Checked: no label, so it is left out.").wait_for()
    page.get_by_role("button", name="high", exact=False).first.click()
    shows(page, "<b>odd & name.wav", "1 of 5")
    assert written(table)["unsure.wav"] == ("high", True)

    page.reload()
    shows(page, "unlike.wav", "1 of 5")
    for name in ("<b>odd & name.wav", "none.aiff", "sure.wav", "unsure.wav"):
        page.keyboard.press("ArrowRight")
        shows(page, name, "1 of 5")


def test_a_spreadsheet_that_saves_meanwhile_wins(page: "Page", table: Path) -> None:
    page.keyboard.press("ArrowRight")
    shows(page, "unsure.wav", "0 of 5")
    text = table.read_text(encoding="utf-8").replace("unsure.wav,middle,", "unsure.wav,polka,")
    table.write_text(text, encoding="utf-8", newline="")
    page.keyboard.press("Enter")
    page.get_by_text("suggested.csv was changed meanwhile").wait_for()
    page.get_by_text("The table says polka.").wait_for()
    assert written(table)["unsure.wav"] == ("polka", False)
    page.keyboard.press("Enter")
    shows(page, "<b>odd & name.wav", "1 of 5")
    assert not page.get_by_role("alert").is_visible()
    assert written(table)["unsure.wav"] == ("polka", True)
    table.unlink()
    page.keyboard.press("Enter")
    page.get_by_text("is not here: `soundtrack suggest FOLDER").wait_for()


def test_a_song_that_is_gone_is_said_and_a_song_that_is_dropped_is_tried(page: "Page", table: Path) -> None:
    (table.parent / "music/unsure.wav").unlink()
    page.keyboard.press("ArrowRight")
    page.get_by_text("The song is not there any more.").wait_for()
    page.evaluate("() => { window.transfer = new DataTransfer(); transfer.items.add(new File(['x'], 'x.wav')); }")
    page.evaluate("() => document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true }))")
    page.get_by_text("x.wav: cannot be decoded").wait_for()
    before = table.read_bytes()
    page.keyboard.press("1")
    page.get_by_role("link", name="Label").click()
    shows(page, "unsure.wav", "0 of 5")
    assert table.read_bytes() == before


def test_it_is_legible_on_a_phone_and_on_a_desk_in_light_and_in_dark(page: "Page") -> None:
    for scheme, width in itertools.product(("light", "dark"), (1400, 390)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for button in page.get_by_role("button").all():
            if button.is_visible() and button.is_enabled():
                assert contrast(*button.evaluate(COLOURS)) >= 4.5, button.inner_text()


COLOURS = """one => {
    const found = [getComputedStyle(one).color];
    while (getComputedStyle(one).backgroundColor === "rgba(0, 0, 0, 0)") one = one.parentElement;
    return [...found, getComputedStyle(one).backgroundColor];
}"""
"""Of the text, and of what is behind it."""


def contrast(text: str, ground: str) -> float:
    """As WCAG 2 defines it."""
    lighter, darker = sorted(map(luminance, (text, ground)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    shares = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
