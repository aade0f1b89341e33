"""All kinds of feature of one clip, which is decoded once."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from pipeline.base.parallel import blas_threads
from pipeline.config.features import BaseFeatures
from pipeline.data import urls
from pipeline.data.urls import Url
from pipeline.features.store import Block, block


class Task(NamedTuple):
    file: Path | Url
    kinds: Sequence[str]


def modules(settings: BaseFeatures, *kinds: str) -> list[str]:
    """Names of the modules that compute these kinds of feature, by default all that are on."""
    return [__name__, settings.decoder, *(f"{settings.package}.{kind}" for kind in kinds or settings.kinds)]


def spec(kind: str, settings: BaseFeatures) -> dict[str, Any]:
    """The spec of a kind's store."""
    own = getattr(settings, kind)
    described = _module(kind, settings).describe(own)
    return {
        "kind": kind,
        **settings.model_dump(exclude=set(settings.possible)),
        "params": own.model_dump(),
        "dtype": "float16" if described["windowed"] else "float32",
        **described,
    }


def attempt(task: Task, settings: BaseFeatures) -> dict[str, Block] | str:
    """As :func:`blocks`, or why this one clip has no features, so that it does not stop the others."""
    try:
        return blocks(task, settings)
    except (MemoryError, OSError):
        raise  # of the machine, not of the clip
    except Exception as error:
        return f"its features cannot be computed: {type(error).__name__}: {error}"


def blocks(task: Task, settings: BaseFeatures) -> dict[str, Block]:
    """The features of these kinds, as their stores hold them."""
    with urls.local(task.file) as file:
        clip = importlib.import_module(settings.decoder).read(file, settings)
    return of_decoded(clip, task.kinds, settings)


def of_decoded(clip: Any, kinds: Sequence[str], settings: BaseFeatures) -> dict[str, Block]:
    """As :func:`blocks`, of a clip that the decoder has read.

    On one thread everywhere, so that a worker, the server and the page compute the same bits of a clip.
    """
    loaded = {kind: _module(kind, settings) for kind in kinds}
    with blas_threads(1):
        return {
            kind: block(module.compute(clip, getattr(settings, kind)), spec(kind, settings)["dtype"])
            for kind, module in loaded.items()
        }


def _module(kind: str, settings: BaseFeatures) -> ModuleType:
    return importlib.import_module(f"{settings.package}.{kind}")
