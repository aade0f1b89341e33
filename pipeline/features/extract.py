"""All kinds of feature of one clip, which is decoded once."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.config.features import Features, PictureFeatures, kinds, possible_kinds
from pipeline.features.store import Block, block
from pipeline.parallel import blas_threads


class Task(NamedTuple):
    file: Path
    kinds: Sequence[str]


class Failure(NamedTuple):
    """In place of a clip's features."""

    reason: str


def modules(settings: Features | PictureFeatures) -> list[str]:
    """What a process needs that computes features."""
    return [__name__, *(f"pipeline.features.{name}" for name in (settings.medium, *kinds(settings)))]


def spec(kind: str, settings: Features | PictureFeatures) -> dict[str, Any]:
    """What the store of a kind says of it."""
    own = getattr(settings, kind)
    about = importlib.import_module(f"pipeline.features.{kind}").describe(own)
    return {
        "kind": kind,
        **shared(settings),
        "params": own.model_dump(),
        "dtype": "float16" if about["windowed"] else "float32",
        **about,
    }


def shared(settings: Features | PictureFeatures) -> dict[str, Any]:
    """What is the same for all kinds: the sample rate, of pictures nothing."""
    return settings.model_dump(exclude=set(possible_kinds(settings)))


def attempt(task: Task, settings: Features | PictureFeatures) -> dict[str, Block] | Failure:
    """As :func:`blocks`, with what is wrong with this one clip told as a reason: it must not cost the others."""
    try:
        return blocks(task, settings)
    except (MemoryError, OSError):
        raise  # of the machine, not of the clip
    except Exception as error:
        return Failure(f"its features cannot be computed: {type(error).__name__}: {error}")


def blocks(task: Task, settings: Features | PictureFeatures) -> dict[str, Block]:
    """The features of these kinds, as their stores hold them."""
    # librosa takes seconds to import, which a run without new clips can do without
    clip = importlib.import_module(f"pipeline.features.{settings.medium}").read(task.file, settings)
    return of_decoded(clip, task.kinds, settings)


def of_decoded(clip: Any, kinds: Sequence[str], settings: Features | PictureFeatures) -> dict[str, Block]:
    """As :func:`blocks`, of a clip that its medium's module has read.

    On one thread everywhere, so that a worker, the server and the page compute the same bits of a clip.
    """
    modules = {kind: importlib.import_module(f"pipeline.features.{kind}") for kind in kinds}
    with blas_threads(1):
        return {
            kind: block(module.compute(clip, getattr(settings, kind)), spec(kind, settings)["dtype"])
            for kind, module in modules.items()
        }
