"""The page with the pre-trained tagger, where nothing was trained."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from checkouts import ROOT, make_music
from pageserver import serving
from processes import PATIENCE_S

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tagger")
    for name in ("params.yaml", "genres.yaml"):
        shutil.copy(ROOT / name, made)
    make_music(made / "music", clips=1)
    return made


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with serving(folder) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.mark.parametrize("width", [1400, 390])
def test_a_song_is_named_and_tagged(chromium: "Browser", address: str, folder: Path, width: int) -> None:
    with chromium.new_page(viewport={"width": width, "height": 900}) as page:
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.set_default_timeout(1000 * PATIENCE_S)
        page.goto(address)
        assert (
            "The pre-trained tagger knows 10 labels: blues, classical" in page.locator("main, body").first.inner_text()
        )
        page.set_input_files("#file", folder / "music/middle/middle 0.wav")
        page.locator("#result").wait_for()
        assert page.locator("#legend li").count() == 10
        found = page.evaluate("[answer.verdict, Object.keys(answer.tags)]")
        said = page.locator("#tags")
        assert said.is_visible() == bool(found[1])
        assert all(tag in said.inner_text() for tag in found[1])
        assert page.locator("#advice").is_visible() == (found[0] == "out-of-distribution")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert not errors
