"""Where unfinished work is kept, so that an interrupted stage goes on where it was: DVC removes a stage's outputs before it runs."""

from pathlib import Path
from typing import Any

from pipeline.base import paths
from pipeline.base.files import read_json
from pipeline.workflow.cache_key import cache_key


def folder(stage: str, name: str, *ingredients: Any) -> Path:
    """For this very work: with other ingredients it is another folder (see :func:`cache_key`)."""
    return paths.cache() / stage / f"{name}-{cache_key(*ingredients)}"


def run_id(folder: Path) -> str | None:
    """The MLflow run of an interrupted training."""
    file = folder / paths.RUN
    return read_json(file)["run_id"] if file.exists() else None
