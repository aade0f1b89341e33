"""One headless Chromium for all tests of what a person sees."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from bundles import _bundle as _bundle
from bundles import known as known

from benchmarks.browser import chromium as running
from pipeline.base.errors import UserError

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:
    """`chromium.new_page(viewport={"width": 1400, "height": 900})`; tests are skipped where it is missing."""
    try:
        with running() as browser:
            yield browser
    except UserError as error:
        pytest.skip(str(error))
