"""Compute the features of every good clip, into a packed store for each kind."""

import logging
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import params, paths
from pipeline.data import clips
from pipeline.errors import UserError
from pipeline.features import extract, reuse
from pipeline.features.extract import Failure, Task
from pipeline.features.reuse import Reuse
from pipeline.files import whole
from pipeline.parallel import each, workers
from pipeline.params import Features, PictureFeatures, kinds
from pipeline.stages import main

log = logging.getLogger("pipeline.stages")


class FeaturesError(UserError):
    """Nothing can be computed; the message says why."""


def features() -> None:
    settings = params.load().features
    good = clips.good(clips.read())
    failed: dict[str, str] = {}
    # librosa takes seconds to import: the workers do so once for all, and only where there is something to compute
    with workers(len(good), *modules(settings)) as pool, ExitStack() as stack:
        stores = {
            kind: stack.enter_context(
                reuse.opened(_known(kind, settings), partial(_spec, pool, kind, settings))
            )
            for kind in kinds(settings)
        }
        tasks = _missing(good, stores)
        log.info("%d of %d clips have features to compute", len(tasks), len(good))
        computed = each(pool, partial(extract.attempt, settings=settings), list(tasks.values()), "features")
        for clip in good.itertuples():
            fresh = next(computed) if clip.Index in tasks else {}
            if isinstance(fresh, Failure):
                failed[clip.clip_id] = fresh.reason
                log.warning("%s is left out: %s", clip.path, fresh.reason)
                continue
            for kind, store in stores.items():
                store.add(clip.clip_id, clip.sha256, fresh.get(kind) or store.read(clip.sha256))
        if len(failed) == len(good):
            raise FeaturesError(
                f"of no clip can features be computed; of the first, {next(iter(failed.values()))}"
            )
        for kind, store in stores.items():
            store.finish(paths.FEATURES / kind)
    with whole(paths.FAILED) as file:
        pd.DataFrame(failed.items(), columns=["clip_id", "reason"]).to_csv(file, index=False)


def modules(settings: Features | PictureFeatures) -> list[str]:
    """What a worker needs."""
    own = [f"pipeline.features.{name}" for name in (settings.medium, *kinds(settings))]
    return ["pipeline.data.clips", "pipeline.features.extract", "pipeline.features.reuse", *own]


def _spec(pool: ProcessPoolExecutor, kind: str, settings: Features | PictureFeatures) -> dict[str, Any]:
    return pool.submit(extract.spec, kind, settings).result()


def _missing(good: pd.DataFrame, stores: dict[str, Reuse]) -> dict[int, Task]:
    """By row, the clips and the kinds of which nothing is known yet."""
    tasks = {}
    for clip in good.itertuples():
        if kinds := [kind for kind, store in stores.items() if clip.sha256 not in store]:
            tasks[clip.Index] = Task(Path(clip.path), kinds)
    return tasks


def _known(kind: str, settings: Features | PictureFeatures) -> Path:
    own = reuse.key(kind, extract.shared(settings), getattr(settings, kind))
    return paths.cache() / "features" / f"{kind}-{own}"


if __name__ == "__main__":
    main(features)
