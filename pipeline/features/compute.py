"""The packed stores of a data set: every kind of feature for every good clip."""

import importlib
import logging
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path

import pandas as pd

from pipeline import features
from pipeline.base import paths
from pipeline.base.errors import UserError
from pipeline.base.files import atomic_write, read_json, write_json
from pipeline.base.parallel import each
from pipeline.base.text import counted
from pipeline.config.features import BaseFeatures, Features, longest_s
from pipeline.data import audio, clips, ffmpeg, sndfile, urls
from pipeline.features import cache, cost, extract
from pipeline.features.cache import FeatureCache
from pipeline.features.extract import Task
from pipeline.workflow.cache_key import cache_key, code, libraries

log = logging.getLogger(__name__)
LIBRARIES = ("av", "librosa", "numpy", "pillow", "scipy", "soundfile", "soxr")


class FeaturesError(UserError):
    """Nothing can be computed; the message says why."""


def compute(settings: BaseFeatures, pool: Executor) -> str:
    """Write the stores, ``features/failed.csv`` and, of sound, how many ms each kind takes for a clip of mean length; only what is not cached goes through the pool. A kind that is off has
    a folder that says so.

    Returns:
        The number of clips and the kinds, in words.

    Raises:
        FeaturesError: no clip has features.
    """
    good = clips.good(clips.read())
    failed: dict[str, str] = {}
    with ExitStack() as stack:
        stores = {kind: stack.enter_context(_open(kind, settings, pool)) for kind in settings.kinds}
        tasks = _missing(good, stores)
        log.info("%d of %d clips have features to compute", len(tasks), len(good))
        computed = each(pool, partial(extract.attempt, settings=settings), list(tasks.values()), "features")
        for clip in good.itertuples():
            fresh = next(computed) if clip.Index in tasks else {}
            if isinstance(fresh, str):
                failed[clip.clip_id] = fresh
                log.warning("%s is left out: %s", clip.path, fresh)
                continue
            for kind, store in stores.items():
                store.add(clip.clip_id, clip.sha256, fresh.get(kind) or store.read(clip.sha256))
        if len(failed) == len(good):
            raise FeaturesError(f"of no clip can features be computed; of the first, {next(iter(failed.values()))}")
        # in parallel, since deleting an earlier run's large files takes time
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda kind: stores[kind].finish(paths.FEATURES / kind), stores))
    for kind in set(settings.possible) - set(stores):
        with atomic_write(paths.FEATURES / kind) as nothing:
            nothing.mkdir()  # DVC asks for each of a stage's outputs, and warns of empty ones
            (nothing / "off.txt").write_text(f"features.{kind} is null in params.yaml.\n", encoding="utf-8")
    with atomic_write(paths.FAILED) as file:
        pd.DataFrame(failed.items(), columns=["clip_id", "reason"]).to_csv(file, index=False)
    if isinstance(settings, Features):
        seconds = min(float(good["duration_s"].mean()), longest_s(settings.excerpt))
        shares = {kind: _timed(kind, settings, pool) * seconds for kind in stores}
        write_json(paths.FEATURE_COST, {kind: float(f"{1000 * time:.3g}") for kind, time in shares.items()})
    return f"{counted(len(good) - len(failed), 'clip')}: {', '.join(stores)}"


def _timed(kind: str, settings: Features, pool: Executor) -> float:
    """Seconds for a second of sound, measured once for each key: it takes seconds where no clip is new, and varies."""
    kept = _cached(kind, settings).with_suffix(".json")
    if not kept.exists():
        write_json(kept, pool.submit(cost.seconds_for, settings, [kind], 1.0).result())
    found: float = read_json(kept)
    return found


def _cached(kind: str, settings: BaseFeatures) -> Path:
    return paths.cache() / "features" / f"{kind}-{key(kind, settings)}"


def _open(kind: str, settings: BaseFeatures, pool: Executor) -> AbstractContextManager[FeatureCache]:
    return cache.open_cache(_cached(kind, settings), lambda: pool.submit(extract.spec, kind, settings).result())


def _missing(good: pd.DataFrame, stores: dict[str, FeatureCache]) -> dict[int, Task]:
    """By row, the clips and kinds that are not cached."""
    tasks = {}
    for clip in good.itertuples():
        if kinds := [kind for kind, store in stores.items() if clip.sha256 not in store]:
            tasks[clip.Index] = Task(urls.place(clip.path), kinds)
    return tasks


def key(kind: str, settings: BaseFeatures) -> str:
    """What decides a clip's features besides the clip: params, code and the libraries' versions."""
    shared = settings.model_dump(exclude=set(settings.possible))
    packages = [features, audio, ffmpeg, sndfile, importlib.import_module(settings.package)]
    own_code = code(*extract.modules(settings, kind), within=packages)
    return cache_key(shared, getattr(settings, kind), own_code, libraries(*LIBRARIES))
