"""A headless Chromium, by playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.base.errors import UserError

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@contextmanager
def chromium() -> Iterator["Browser"]:
    """A running browser: ``browser.new_page(viewport={"width": 1400, "height": 900})``.

    Raises:
        UserError: playwright or Chromium is not installed.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise UserError("playwright is missing: make test-browser and make pictures install it") from None
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        raise UserError("Chromium is missing: on Debian, apt install chromium")
    with sync_playwright() as playwright:
        # the sandbox needs rights that containers and root lack; the pages are our own
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()
