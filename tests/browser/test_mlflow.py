"""MLflow's pages as a person sees them after `make repro`: the table of models, the comparison, a run, the registry."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pandas as pd
import pytest
import yaml
from checkouts import environment, runs
from processes import PATIENCE_S, free_port, wait_until

from pipeline.base.files import read_json

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE_MS = 120_000
SIZE = {"width": 1400, "height": 900}


@pytest.fixture(scope="module")
def checkout(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished checkout: a server writes into its store."""
    copy = tmp_path_factory.mktemp("ui") / "checkout"
    shutil.copytree(finished, copy, symlinks=True)
    return copy


@pytest.fixture(scope="module")
def link(checkout: Path) -> Iterator[str]:
    """What `soundtrack ui` prints, as long as it serves; stopped as a person or a system would."""
    told = checkout.parent / "ui.txt"
    with told.open("w") as output:
        served = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", "ui", "--port", str(free_port())],
            cwd=checkout,
            env=environment(checkout),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    wait_until(lambda: "Ctrl+C" in told.read_text(), served)
    text = told.read_text()
    assert len(text.splitlines()) == 3, text
    yield re.findall(r"http://\S+", text)[0]
    os.kill(served.pid, signal.SIGTERM)
    assert served.wait(PATIENCE_S) == 0


@pytest.fixture
def page(chromium: "Browser", link: str) -> Iterator["Page"]:
    page = chromium.new_page(viewport=SIZE)
    page.set_default_timeout(PATIENCE_MS)
    page.goto(link)  # also before another page of MLflow's: its mode is that of the first visit
    page.get_by_text("matching runs").wait_for()
    yield page
    page.close()


@pytest.fixture(scope="module")
def ids(checkout: Path) -> dict[str, str]:
    """Run id by name."""
    return {name: run_id for run_id, name in runs(checkout)["name"].items()}


def shown(page: "Page", *texts: str) -> str:
    """The visible text, once all of these are in it."""
    for text in texts:
        page.get_by_text(text).first.wait_for()
    return page.inner_text("body")


def table(page: "Page") -> pd.DataFrame:
    """The cells of MLflow's table that are within the window, by run name."""
    page.locator("[col-id='metrics.`test/macro_f1`'] >> visible=true").nth(1).wait_for()
    cells = page.eval_on_selector_all(
        ".ag-row .ag-cell",
        """cells => cells.map(cell => {
            const box = cell.getBoundingClientRect()
            const visible = box.right <= innerWidth && box.bottom <= innerHeight
            return [cell.closest(".ag-row").getAttribute("row-index"), cell.getAttribute("col-id"), visible ? cell.innerText.trim() : ""]
        })""",
    )
    wide = pd.DataFrame(cells, columns=["row", "column", "text"]).pivot_table("text", "row", "column", aggfunc="first")
    names = wide["attributes.`Run Name`"].str.split("\n").str[-1]
    return wide.set_index(names).sort_index(
        key=lambda name: name.map(dict(zip(names, wide.index.astype(int), strict=True)))
    )


def test_the_link_shows_all_models_with_their_scores_best_first(page: "Page", checkout: Path) -> None:
    experiments = yaml.safe_load((checkout / "params.yaml").read_text())["experiments"]
    scores = {key: read_json(checkout / f"metrics/{key}.json") for key in experiments}
    found = table(page)
    assert set(found.index) == set(experiments), "no comparison, no leak"
    for name in ("valid", "test"):
        column = found[f"metrics.`{name}/macro_f1`"].astype(float)
        expected = [scores[key][f"{name}_macro_f1"] for key in found.index]
        assert list(column) == pytest.approx(expected, abs=1e-4)
    assert found["metrics.`valid/macro_f1`"].astype(float).is_monotonic_decreasing
    assert found["attributes.`Dataset`"].str.startswith("music (").all()
    shown(page, "Models are compared by", "Models by validation macro F1")


def test_the_charts_begin_with_validation(page: "Page") -> None:
    page.locator("label:has(input[value='CHART'])").click()
    shown(page, "Add chart", "valid/macro_f1")
    page.wait_for_function(r"() => document.body.innerText.match(/\n(valid|test|cost|train)\s+\(\d+\)/g)?.length == 4")
    groups = re.findall(r"\n(valid|test|cost|train)\s+\(\d+\)", page.inner_text("body"))
    assert groups == ["valid", "test", "cost", "train"]


def test_the_comparison_of_all_models_has_named_axes_and_no_unknown(
    page: "Page", link: str, ids: dict[str, str]
) -> None:
    keys = ("majority", "logreg", "mlp", "multimodal")
    experiment = re.findall(r"experiments/(\d+)", link)[0]
    compared = quote(json.dumps([ids[key] for key in keys])), quote(json.dumps([experiment]))
    page.goto(f"{link.partition('#')[0]}#/compare-runs?runs={compared[0]}&experiments={compared[1]}")
    text = shown(page, "Comparing 4 Runs", "valid/macro_f1", "Run details")
    plot = page.locator(".js-plotly-plot").first
    axes = plot.locator(".axis-title").all_text_contents()
    assert axes == ["experiment", "features", "model", "valid/macro_f1"]
    ticks = plot.locator(".tick text").all_text_contents()
    assert "unknown" not in ticks
    assert {*keys, "tabular", "wavelet+sp"} <= set(ticks), "no two values look the same"
    assert all(key in text for key in keys)


def test_a_run_has_a_description_a_dataset_costs_and_pictures(page: "Page", link: str, ids: dict[str, str]) -> None:
    run = f"{link.partition('/runs?')[0]}/runs/{ids['mlp']}"
    page.goto(run)
    text = shown(page, "Experiment mlp of params.yaml: mlp on tabular", "music (", "cost/latency_ms")
    assert "cost/parameters" in text
    page.goto(f"{run}/artifacts")
    shown(page, "confusion.png", "curves.png", "mlp.html")


def test_the_registry_says_what_its_model_is(page: "Page", link: str, checkout: Path) -> None:
    best = read_json(checkout / "candidate/manifest.json")["experiment"]
    models = f"{link.partition('#')[0]}#/models/soundtrack"
    page.goto(models)
    shown(page, "Gives a song the probability of each label", "Version 1", "champion")
    page.wait_for_function(f"() => /experiment\\s*:\\s*{best}/.test(document.body.innerText)")
    page.goto(f"{models}/versions/1")
    shown(page, f"Model card: {best}")
    picture = page.locator("img[src*='path=ood.png']")
    picture.scroll_into_view_if_needed()
    page.wait_for_function("img => img.complete && img.naturalWidth > 100", arg=picture.element_handle())


def test_a_taken_port_is_a_sentence(link: str, checkout: Path) -> None:
    port = re.findall(r":(\d+)/", link)[0]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "ui", "--port", port],
        cwd=checkout,
        env=environment(checkout),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: port {port} cannot be used (Address already in use)")
    assert f"soundtrack ui --port {int(port) + 1}" in done.stderr


def test_a_server_of_ones_own_is_only_linked_to(link: str, checkout: Path) -> None:
    server = link.partition("/#")[0]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "ui"],
        cwd=checkout,
        env=environment(checkout) | {"MLFLOW_TRACKING_URI": server, "no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"All models with their scores: {link}\n"
