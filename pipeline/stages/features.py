"""Compute one kind of feature for every good clip, into its packed store."""

import importlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import params, paths
from pipeline.data import clips
from pipeline.data.audio import mono
from pipeline.features import numba_cache, store
from pipeline.parallel import each
from pipeline.stages import main


def features(kind: str) -> None:
    settings = params.load().features
    own = getattr(settings, kind)
    good = clips.good(clips.read())
    work = partial(_compute, kind=kind, rate=settings.sample_rate, settings=own)
    files = [Path(path) for path in good["path"]]
    spec: dict[str, Any] = {"kind": kind, "sample_rate": settings.sample_rate, "params": own.model_dump()}
    spec |= importlib.import_module(f"pipeline.features.{kind}").describe(own)
    numba_cache.fill(kind, settings.sample_rate, own)
    dtype = "float16" if spec["windowed"] else "float32"
    store.write(paths.FEATURES / kind, list(good["clip_id"]), each(work, files, kind), dtype, spec)


def _compute(file: Path, kind: str, rate: int, settings: Any) -> np.ndarray[Any, Any]:
    module = importlib.import_module(f"pipeline.features.{kind}")
    return module.compute(mono(file, rate), rate, settings)


if __name__ == "__main__":
    main(features, "kind")
