"""Where a stage that trains keeps its partial work, so that an interrupted one goes on where it was."""

import hashlib
import json
from pathlib import Path

from pipeline import paths
from pipeline.params import Experiment, Params


def work(stage: str, settings: Params, experiment: Experiment, key: str) -> Path:
    """A folder for this very training: with other params, data or code it is another."""
    given = [settings.seed, settings.seeds, settings.split.model_dump(), settings.window.model_dump()]
    digest = hashlib.sha256(json.dumps(given).encode())
    digest.update(experiment.model_dump_json().encode())
    code = [
        file
        for folder in ("models", "training")
        for file in Path(__file__).parents[1].joinpath(folder).rglob("*.py")
    ]
    for file in [paths.INPUTS / f"{key}.json", paths.CLIPS, paths.SPLIT, *sorted(code)]:
        digest.update(file.read_bytes())
    return paths.cache() / stage / f"{key}-{digest.hexdigest()[:16]}"
