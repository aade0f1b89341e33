"""The reports as a person sees them in a browser: the answer first, links that lead somewhere, no sideways scrolling."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAGES = ("comparison.html", "data.html", "models/logreg.html", "models/multimodal.html")
WIDTHS = (1400, 390)


@pytest.fixture(params=WIDTHS)
def page(chromium: "Browser", request: pytest.FixtureRequest) -> Iterator["Page"]:
    opened = chromium.new_page(viewport={"width": request.param, "height": 900})
    yield opened
    opened.close()


def show(page: "Page", file: Path) -> list[str]:
    """Open the file; gives what it asked for besides itself."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    return [url for url in asked if not url.startswith("data:") and url != file.as_uri()]


def first_screen(page: "Page") -> str:
    """Text of the first box, which is seen without scrolling."""
    box = page.locator(".panel").first
    seen = box.bounding_box()
    assert seen is not None
    assert seen["y"] + 100 < 900
    return box.inner_text()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_nothing_else_and_does_not_scroll_sideways(finished: Path, page: "Page", name: str) -> None:
    assert show(page, finished / "reports" / name) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    texts = page.evaluate(
        "Array.from(document.querySelectorAll('p, li, figcaption'), e => e.scrollWidth > e.clientWidth + 1)"
    )
    assert not any(texts), "no text is cut off"


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_files_that_exist(finished: Path, page: "Page", name: str) -> None:
    file = finished / "reports" / name
    show(page, file)
    links = [link.get_attribute("href") or "" for link in page.locator("a").all()]
    local = [link for link in links if not link.startswith(("http", "#"))]
    assert local
    assert all((file.parent / link).is_file() for link in local)


def test_the_comparison_says_which_model_is_best_and_what_cannot_be_told(finished: Path, page: "Page") -> None:
    show(page, finished / "reports/comparison.html")
    answer = first_screen(page)
    assert answer.startswith("Chosen model: ")
    assert "Macro F1 on the test set: " in answer
    assert "significant" in answer
    assert "The baseline majority" in answer


def test_the_matrix_has_a_cell_for_each_pair(finished: Path, page: "Page") -> None:
    show(page, finished / "reports/comparison.html")
    matrix = page.locator("table.matrix")
    models = matrix.locator("th").all_inner_texts()
    cells = matrix.locator("td.ahead, td.behind, td.level")
    count = len(models) // 2
    assert cells.count() == count * (count + 1) // 2
    assert all(cell.is_visible() and " to " in cell.inner_text() for cell in cells.all())
    level = page.evaluate("getComputedStyle(document.querySelector('.key.ahead')).backgroundColor")
    assert level != page.evaluate("getComputedStyle(document.querySelector('.key.behind')).backgroundColor")


def test_pages_lead_from_one_to_the_next_and_to_mlflow(finished: Path, page: "Page") -> None:
    show(page, finished / "reports/comparison.html")
    page.get_by_role("link", name="logreg", exact=True).click()
    assert page.title() == "Mistakes of logreg"
    address = page.get_by_role("link", name="MLflow run").get_attribute("href")
    page.get_by_role("link", name="Comparison").click()
    assert page.title() == "Comparison of models"
    assert address in [link.get_attribute("href") for link in page.locator("a").all()]
    page.get_by_role("link", name="Data").click()
    assert first_screen(page).startswith("24 clips with 3 labels")


def test_text_in_figures_is_legible(finished: Path, page: "Page") -> None:
    """9 points are 12 pixels where an inch is 96."""
    show(page, finished / "reports/comparison.html")
    for image in page.locator(".sheet img").all():
        shown, natural = image.evaluate("e => [e.clientWidth, e.naturalWidth]")
        assert 9 / 72 * 150 * shown / natural >= 7.9
