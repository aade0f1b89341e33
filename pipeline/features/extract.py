"""All kinds of feature of one clip, from one decoded signal."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.features import numba_cache
from pipeline.features.store import Block, block
from pipeline.params import Features


class Task(NamedTuple):
    file: Path
    kinds: Sequence[str]


class Failure(NamedTuple):
    """In place of a clip's features."""

    reason: str


def spec(kind: str, settings: Features) -> dict[str, Any]:
    """What the store of a kind says of it."""
    own = getattr(settings, kind)
    about = importlib.import_module(f"pipeline.features.{kind}").describe(own)
    return {
        "kind": kind,
        "sample_rate": settings.sample_rate,
        "params": own.model_dump(),
        "dtype": "float16" if about["windowed"] else "float32",
        **about,
    }


def attempt(task: Task, settings: Features) -> dict[str, Block] | Failure:
    """As :func:`blocks`, with what is wrong with this one clip told as a reason: it must not cost the others."""
    try:
        return blocks(task, settings)
    except (MemoryError, OSError):
        raise  # of the machine, not of the clip
    except Exception as error:
        return Failure(f"its features cannot be computed: {type(error).__name__}: {error}")


def blocks(task: Task, settings: Features) -> dict[str, Block]:
    """The features of these kinds, as their stores hold them."""
    from pipeline.data.audio import mono  # with librosa, seconds that a run without new clips can do without
    from pipeline.features.sound import Sound

    numba_cache.fill(settings)
    sound = Sound(mono(task.file, settings.sample_rate), settings.sample_rate)
    found = {}
    for kind in task.kinds:
        values = importlib.import_module(f"pipeline.features.{kind}").compute(sound, getattr(settings, kind))
        found[kind] = block(values, spec(kind, settings)["dtype"])
    return found
