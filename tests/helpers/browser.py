"""A headless Chromium for tests of what a person sees. Such tests are skipped where it is missing."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def browser() -> Iterator["Browser"]:
    """A running browser: `browser.new_page(viewport={"width": 1400, "height": 900})`."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: make test-browser installs it")
    if CHROMIUM is None:
        pytest.skip("Chromium is missing: apt install chromium")
    with api.sync_playwright() as playwright:
        # the sandbox needs rights that containers and root lack; the pages are our own
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()
