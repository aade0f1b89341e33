"""What the lessons share: params, MLflow runs, and the files that each writes into its folder.

A lesson is a script, which DVC runs in its folder; its MLflow experiment has the folder's name. One run has the lesson's
page and figures, and the trainings that it compares are its child runs.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from jinja2 import Template
from matplotlib.figure import Figure
from PIL import Image

from pipeline import tracking
from pipeline.base import paths
from pipeline.base.files import atomic_write, write_json
from pipeline.config.base import AnySection
from pipeline.config.load import read
from pipeline.reports import figures
from pipeline.reports.pages import Picture, environment, tabulated

RESULTS = Path("results")
METRICS = Path("metrics.json")
COLOURS = 256
"""Of the figure that is in git, which makes the file a third as large."""


@dataclass(frozen=True)
class Part:
    """One section of a lesson's page: a text, a figure and a table."""

    name: str
    """The files are ``<name>.csv`` and ``<name>.png``."""
    heading: str
    text: str
    table: pd.DataFrame
    figure: Figure
    alt: str
    caption: str


def params(kind: type[AnySection]) -> AnySection:
    """The lesson's params.yaml.

    Raises:
        ParamsError: the file is missing, is no YAML, or has a wrong key, type or value.
    """
    return read(paths.PARAMS, kind)


@contextmanager
def run(lesson: str, name: str, parent: tracking.Run | None = None) -> Iterator[tracking.Run]:
    """A new run in the lesson's experiment, tagged with git commit, params and library versions."""
    below = parent.id if parent else None
    with tracking.run(lesson, name, None, tracking.lineage("generated"), below) as opened:
        yield opened


def publish(
    run: tracking.Run,
    title: str,
    findings: list[str],
    parts: list[Part],
    metrics: Mapping[str, float],
    cover: Path,
    template: Template | None = None,
) -> None:
    """Write tables, figures and ``report.html`` to the results, and the metrics; log all of them to the run.

    Args:
        cover: where the first part's figure goes for the lesson's README.
        template: of a page with more than findings and parts.
    """
    with atomic_write(RESULTS) as folder:
        folder.mkdir()
        pictures = [Picture(part.name, part.alt, part.caption, figures.png(part.figure)) for part in parts]
        for part, image in zip(parts, pictures, strict=True):
            part.table.to_csv(folder / f"{part.name}.csv", index=False)
            (folder / f"{part.name}.png").write_bytes(image.png)
        shown = [(part, tabulated(part.table), image) for part, image in zip(parts, pictures, strict=True)]
        template = template or environment().get_template("findings.html.j2")
        page = template.render(title=title, findings=findings, parts=shown)
        (folder / "report.html").write_text(page, encoding="utf-8")
    with atomic_write(cover) as file:
        small = Image.open(io.BytesIO(pictures[0].png)).convert("RGB")
        small.quantize(COLOURS).save(file, "PNG", optimize=True)
    write_json(METRICS, dict(metrics))
    run.log_metrics(metrics)
    run.log_folder(RESULTS, "results")
