"""The documents' pictures: what a browser shows of this checkout after `make repro` (`make pictures`).

Needs the extra `browser` (playwright) and the Chromium of the machine.
"""

import argparse
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.browser import chromium
from pipeline import config
from pipeline.base import paths
from pipeline.base.errors import UserError

if TYPE_CHECKING:
    from playwright.sync_api import Page

DOCS = Path("docs")
PATIENCE_MS = 300_000
SIZE = {"width": 1280, "height": 860}


def main() -> None:
    argparse.ArgumentParser(
        prog="python -m benchmarks.pictures", description=__doc__, epilog="Example: python -m benchmarks.pictures"
    ).parse_args()
    try:
        if not paths.COMPARISON.exists():
            raise UserError(f"{paths.COMPARISON} is not here: run `make repro` first")
        with chromium() as browser:
            for name, show in PICTURES.items():
                page = browser.new_page(viewport=SIZE)
                page.set_default_timeout(PATIENCE_MS)
                with show(page):
                    page.screenshot(path=DOCS / name)
                page.close()
    except UserError as error:
        sys.exit(f"error: {error}")
    print(f"Made {', '.join(str(DOCS / name) for name in PICTURES)}. Commit them if they changed: git status docs")


@contextmanager
def comparison(page: "Page") -> Iterator[None]:
    """The first screen of the report."""
    page.goto(paths.COMPARISON.resolve().as_uri())
    yield


@contextmanager
def mlflow(page: "Page") -> Iterator[None]:
    """The table of models that `make ui` links to."""
    with _served("ui", r"http://\S+#\S+") as link:
        page.goto(link)
        for key in config.load().experiments:
            page.get_by_text(key, exact=True).first.wait_for()
        page.get_by_role("button", name="Close", exact=True).click()  # MLflow's assistant, which opens once
        yield


@contextmanager
def example(page: "Page") -> Iterator[None]:
    """An example's answer on the page of the best model."""
    with _served("page", r"http://\S+") as link:
        page.goto(link)
        page.get_by_role("button", name=re.compile("Example 2")).click()
        page.get_by_text("True label").wait_for()
        yield


PICTURES: dict[str, Callable[["Page"], AbstractContextManager[None]]] = {
    "comparison.png": comparison,
    "mlflow.png": mlflow,
    "page.png": example,
}


@contextmanager
def _served(command: str, link: str) -> Iterator[str]:
    """The link that `soundtrack <command>` prints, as long as it serves."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    served = subprocess.Popen(
        [sys.executable, "-u", "-m", "pipeline.cli", command, "--port", str(port)], stdout=subprocess.PIPE, text=True
    )
    assert served.stdout is not None
    printed = ""
    try:
        for line in served.stdout:
            printed += line
            if found := re.search(link, line):
                _wait_for(port)
                yield found[0]
                return
        raise UserError(f"`soundtrack {command}` gave no link:\n{printed}")
    finally:
        served.terminate()
        served.wait()


def _wait_for(port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    main()
