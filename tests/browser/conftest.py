"""One headless Chromium for all tests of what a person sees."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import browser
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:
    """`chromium.new_page(viewport={"width": 1400, "height": 900})`; tests are skipped where it is missing."""
    with browser.browser() as running:
        yield running
