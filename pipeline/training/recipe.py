"""The ingredients of a training's cache key: where any differs, checkpoints and trials of a sweep are not reused."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline import evaluation, models, training
from pipeline.base import paths
from pipeline.base.files import sha256
from pipeline.config.experiment import Experiment, backbones, branches
from pipeline.config.models import ZeroShot
from pipeline.config.project import BaseParams
from pipeline.data import split
from pipeline.features.store import Store
from pipeline.models import module
from pipeline.models.backbones import family
from pipeline.workflow.cache_key import code

LOOP = "pipeline.training.ensemble"
LIBRARIES = ("onnxruntime", "torch", "transformers")
"""Those that compute embeddings."""


def recipe(settings: BaseParams, experiment: Experiment, tables: Iterable[Path]) -> list[Any]:
    """Ingredients of a cache key. ``tables`` say which clips there are, and who is in train, valid and test."""
    return [*shared(settings, tables), experiment, inputs(experiment)]


def shared(settings: BaseParams, tables: Iterable[Path]) -> list[Any]:
    """Those of all experiments."""
    data = {file.as_posix(): sha256(file) for file in tables if file.exists()}
    # the loop assigns the clips of an ensemble's members and chooses epochs by macro F1, so split and evaluation count too
    loop = code(LOOP, within=[training, split, evaluation])
    return [settings.seed, settings.seeds, settings.split, settings.window, data, loop]


def inputs(experiment: Experiment) -> dict[str, str]:
    """Digests of the features, the weights and the model code that an experiment uses, by their names."""
    found = {f"features/{kind}": Store(paths.FEATURES / kind).spec["digest"] for kind in experiment.features}
    for name in backbones(experiment):
        found |= {file.as_posix(): sha256(file) for file in sorted((paths.WEIGHTS / name).iterdir())}
        found |= model_code(f"backbones.{family(paths.WEIGHTS / name)}")
    for part in [experiment, *branches(experiment)]:
        found |= model_code(part.model.name)
        if isinstance(part.model, ZeroShot):
            found |= {paths.GENRES.as_posix(): sha256(paths.GENRES)}
    return found


def model_code(name: str) -> dict[str, str]:
    """sha256 by file of a model's module, and of what it and the training loop import of models and evaluation."""
    return code(module(name), LOOP, within=[models, evaluation])
