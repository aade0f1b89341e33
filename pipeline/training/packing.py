"""The embeddings of an experiment's frozen backbones as stores that DVC tracks, where training finds them."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import training
from pipeline.base import paths
from pipeline.base.files import atomic_write, read_json, sha256, write_json
from pipeline.config.experiment import Experiment, branches
from pipeline.config.features import Window
from pipeline.config.models import Transfer, ZeroShot
from pipeline.data import clips
from pipeline.features.cache import link_or_copy
from pipeline.features.store import Store
from pipeline.training.recipe import LIBRARIES, inputs
from pipeline.workflow import checkpoints
from pipeline.workflow.cache_key import code, libraries


def pack_branches(experiment: Experiment, window: Window, folder: Path) -> None:
    """Write a store for each frozen backbone to ``folder/<number>/<backbone>``. What was packed before is linked."""
    for number, branch in enumerate(branches(experiment)):
        model = branch.model.transfer if isinstance(branch.model, ZeroShot) else branch.model
        if not (isinstance(model, Transfer) and model.frozen):
            continue
        tables = [sha256(paths.CLIPS), sha256(paths.FAILED)]
        given = [model, branch.training.accelerator, inputs(branch), window, tables]
        packed = checkpoints.folder("packed", str(number), *given, *_computed_by())
        if not packed.exists():
            with atomic_write(packed) as partial:
                _pack(branch, model, window, partial)
        shutil.copytree(packed, folder / str(number), copy_function=link_or_copy)


def _computed_by() -> list[Any]:
    return [code("pipeline.training.embeddings", within=[training]), libraries(*LIBRARIES)]


def _pack(branch: Experiment, model: Transfer, window: Window, folder: Path) -> None:
    from pipeline.training.dataset import Feature, Windows  # torch takes seconds to import
    from pipeline.training.embeddings import key, pack, repack
    from pipeline.training.hardware import has_gpu

    ids = list(clips.good(clips.computed())["clip_id"])
    (kind,) = branch.features
    feature = Feature.stored(Store(paths.FEATURES / kind), ids, window.of(kind))
    windows = Windows([feature], np.zeros(len(ids), dtype=np.int64))
    networks = {name: digest for name, digest in inputs(branch).items() if not name.startswith(f"{paths.FEATURES}/")}
    about = [feature.shape, feature.silence_db, feature.rate, window, has_gpu(branch.training)]
    keys = checkpoints.folder("backbones", kind, model, networks, about, _computed_by())
    if keys.exists() and all(
        repack(windows, ids, own, paths.embeddings(), folder / name)
        for name, own in zip(model.backbones, read_json(keys), strict=True)
    ):
        return
    from pipeline.models import transfer  # transformers takes more

    backbones = transfer.load_backbones(model, feature.describe())
    write_json(keys, [key(backbone, windows, branch.training) for backbone in backbones])
    for name, backbone in zip(model.backbones, backbones, strict=True):
        pack(windows, ids, backbone, branch.training, paths.embeddings(), folder / name)
