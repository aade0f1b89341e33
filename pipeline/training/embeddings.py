"""What frozen backbones make of windows: computed once for each window and backbone, and kept."""

import functools
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from pipeline import models, paths
from pipeline.config.training import Training
from pipeline.features import cache
from pipeline.features.cache import FeatureCache
from pipeline.features.store import Block, block
from pipeline.files import read_json
from pipeline.models.exported import Exported, export
from pipeline.training.dataset import Array, EvenWindows, Feature, Index, Windows
from pipeline.training.hardware import has_gpu
from pipeline.workflow.cache_key import cache_key, code, libraries

Run = Callable[[Array], Array]
EXAMPLES = 2
"""Windows that a backbone is exported by."""
LIBRARIES = ("onnxruntime", "torch", "transformers")


class Embeddings:
    """(windows, width) in memory, a clip's windows side by side."""

    frames, floor = 1, 0.0

    def __init__(self, values: Array, counts: Index) -> None:
        self.values = values
        self.counts = counts
        self.starts = np.cumsum(counts) - counts

    def slack(self) -> Index:
        return self.counts - 1

    def cut(self, clips: Index, offsets: Index) -> Array:
        return self.values[self.starts[clips] + offsets]


SPACINGS = TRAINED_ON, ASKED_OF = 0.5, 1.0
"""From one window of a clip to the next, in windows: of those that a head learns from, and of those that answers are
means over."""


def embed(
    parts: Sequence[Windows],
    backbones: Iterable[nn.Module],
    settings: Training,
    kept: Path,
    spacings: Sequence[float],
) -> list[Windows]:
    """Windows of one feature, seen through the backbones, whose embeddings are joined.

    Args:
        kept: where embeddings are kept, by the backbone with its weights, and by the clip's rows.
        spacings: one of SPACINGS for each part.
    """
    pairs = [_laid(windows, apart) for windows, apart in zip(parts, spacings, strict=True)]
    seen = [_through(backbone, parts, pairs, settings, kept) for backbone in backbones]
    counts = [
        np.bincount(own[:, 0], minlength=len(windows)) for windows, own in zip(parts, pairs, strict=True)
    ]
    return [
        Windows([Embeddings(np.concatenate(values, axis=1), own)], windows.targets)
        for windows, own, values in zip(parts, counts, zip(*seen, strict=True), strict=True)
    ]


def pack(
    windows: Windows, clips: Sequence[str], backbone: nn.Module, settings: Training, kept: Path, target: Path
) -> None:
    """Put a store of all that training asks of a frozen backbone at ``target``, where :func:`embed` finds it.

    Args:
        clips: names of the windows' clips.
    """
    with _opened(backbone, windows, settings, kept) as (known, run):
        written = set()
        for apart in SPACINGS:
            for clip, (source, values, _) in zip(
                clips, _blocks(windows, _laid(windows, apart), run, known, settings), strict=True
            ):
                # a clip of one window has the same in every spacing
                if source not in written:
                    known.add(clip, source, values)
                    written.add(source)
        known.finish(target)


def _laid(windows: Windows, apart: float) -> Index:
    return windows.even(max(1, int(apart * windows.frames)))


def _through(
    backbone: nn.Module, parts: Sequence[Windows], pairs: Sequence[Index], settings: Training, kept: Path
) -> list[Array]:
    """(windows, width) of each part."""
    with _opened(backbone, parts[0], settings, kept) as (known, run):
        return [_seen(windows, own, run, known, settings) for windows, own in zip(parts, pairs, strict=True)]


@contextmanager
def _opened(
    backbone: nn.Module, windows: Windows, settings: Training, kept: Path
) -> Iterator[tuple[FeatureCache, Callable[[], Run]]]:
    """What is known of a backbone, and the backbone itself, made ready where something is not known yet."""
    first = np.zeros(EXAMPLES, dtype=np.int64)
    example = _feature(windows).cut(first, first)
    key = cache_key(_fingerprint(backbone), windows.frames, has_gpu(settings))

    @functools.cache
    def run() -> Run:
        return _on_gpu(backbone) if has_gpu(settings) else _on_cpu(backbone, example, settings.threads)

    def spec() -> dict[str, Any]:
        return {"dtype": "float32", "width": run()(example).shape[1], "backbone": key}

    def tracked() -> list[Path]:
        stores = [file.parent for file in sorted(paths.EMBEDDINGS.glob("*/*/*/spec.json"))]
        return [store for store in stores if read_json(store / "spec.json")["backbone"] == key]

    with cache.open_cache(kept / key, spec, tracked) as known:
        yield known, run


def _fingerprint(backbone: nn.Module) -> str:
    """What tells a backbone from others: its modules with their settings, its weights, and its code."""
    digest = hashlib.sha256()
    for name, module in backbone.eval().named_modules():
        plain = {
            key: value for key, value in vars(module).items() if isinstance(value, bool | int | float | str)
        }
        digest.update(f"{name} {type(module).__qualname__} {sorted(plain.items())}\n".encode())
    for name, tensor in backbone.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode() + tensor.contiguous().numpy().tobytes())
    own_code = code(type(backbone).__module__, within=[models])
    return cache_key(digest.hexdigest(), own_code, libraries(*LIBRARIES))


def _seen(
    windows: Windows, pairs: Index, run: Callable[[], Run], known: FeatureCache, settings: Training
) -> Array:
    rows = []
    for clip, (source, values, fresh) in enumerate(_blocks(windows, pairs, run, known, settings)):
        if fresh:
            known.add(str(clip), source, values)
        rows.append(np.frombuffer(values.content, np.float32))
    return np.concatenate(rows).reshape(len(pairs), -1)


def _blocks(
    windows: Windows, pairs: Index, run: Callable[[], Run], known: FeatureCache, settings: Training
) -> Iterator[tuple[str, Block, bool]]:
    """Of each clip: what tells its windows from all others, what the backbone makes of them, whether that was not known."""
    sources = _sources(_feature(windows).digests, pairs)
    missing = [clip for clip, source in enumerate(sources) if source not in known]
    computed = _embedded(windows, pairs, missing, run, settings)
    unknown = set(missing)
    for clip, source in enumerate(sources):
        fresh = clip in unknown
        yield source, block(next(computed), "float32") if fresh else known.read(source), fresh


def _sources(digests: Sequence[str], pairs: Index) -> list[str]:
    """What tells each clip's windows from all others: its rows, and where they begin."""
    offsets = np.split(pairs[:, 1], np.flatnonzero(np.diff(pairs[:, 0])) + 1)
    return [
        hashlib.sha256(f"{digest} {own.tolist()}".encode()).hexdigest()
        for digest, own in zip(digests, offsets, strict=True)
    ]


def _feature(windows: Windows) -> Feature:
    (feature,) = windows.sources
    if not isinstance(feature, Feature):
        raise TypeError("only windows of a stored feature have what tells them from others")
    return feature


def _embedded(
    windows: Windows, pairs: Index, missing: list[int], run: Callable[[], Run], settings: Training
) -> Iterator[Array]:
    """The embeddings of each missing clip, of whose windows batches are full whatever their number."""
    todo = pairs[np.isin(pairs[:, 0], missing)]
    rows: dict[int, list[Array]] = {}
    if len(todo):
        for batch in tqdm(EvenWindows(todo, settings.batch_size), "embed", unit="batch", dynamic_ncols=True):
            (inputs,), _, clips = windows[batch]
            for clip, row in zip(clips, run()(inputs), strict=True):
                rows.setdefault(int(clip), []).append(row)
            # all but the last clip of a batch are complete
            for clip in [clip for clip in rows if clip != int(clips[-1])]:
                yield np.stack(rows.pop(clip))
        yield from map(np.stack, rows.values())


def _on_gpu(backbone: nn.Module) -> Run:
    backbone.cuda()

    def run(inputs: Array) -> Array:
        with torch.inference_mode():
            values: Array = backbone(torch.from_numpy(inputs).cuda()).cpu().numpy()
            return values

    return run


def _on_cpu(backbone: nn.Module, example: Array, threads: int) -> Run:
    """ONNX Runtime takes half of the time that torch takes there."""
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "backbone.onnx"
        export(backbone, [torch.from_numpy(example)], ["window"], ["embedding"], graph)
        exported = Exported(graph, threads)
    return lambda inputs: exported([inputs])
