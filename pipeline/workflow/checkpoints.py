"""Where a stage that trains keeps its partial work, so that an interrupted one goes on where it was."""

import hashlib
import json
from pathlib import Path

from pipeline import paths
from pipeline.config.experiment import Experiment
from pipeline.config.project import BaseParams
from pipeline.files import read_json
from pipeline.workflow.dependencies import PACKAGE, reached, versions

DEALING = Path("pipeline/data/split.py")
"""Deals the clips of an ensemble's members while they are trained."""


def work(stage: str, settings: BaseParams, experiment: Experiment, key: str) -> Path:
    """As :func:`folder`, on the data and split that all experiments have in common."""
    files = (paths.INPUTS / f"{key}.json", paths.CLIPS, paths.SPLIT)
    return folder(stage, settings, experiment, key, b"".join(file.read_bytes() for file in files))


def folder(stage: str, settings: BaseParams, experiment: Experiment, key: str, data: bytes) -> Path:
    """For this very training: with other params, data or code it is another.

    Args:
        data: what tells the clips, and what is computed of them, from any others.
    """
    given = [settings.seed, settings.seeds, settings.split.model_dump(), settings.window.model_dump()]
    models = {file.relative_to(PACKAGE.parent) for file in (PACKAGE / "models").rglob("*.py")}
    digest = hashlib.sha256(json.dumps([*given, training(), versions(models)]).encode())
    digest.update(experiment.model_dump_json().encode())
    digest.update(data)
    return paths.cache() / stage / f"{key}-{digest.hexdigest()[:16]}"


def run_id(work: Path) -> str | None:
    """The MLflow run of an interrupted training."""
    file = work / paths.RUN
    return read_json(file)["run_id"] if file.exists() else None


def training() -> dict[str, str]:
    """sha256 by file of what decides what a training becomes, beside the code of the models."""
    files = reached("pipeline.training.ensemble")
    return versions({file for file in files if "training" in file.parts or file == DEALING})
