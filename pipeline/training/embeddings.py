"""Embeddings of frozen backbones: computed once for each window and backbone, here or on a cluster, and cached."""

import functools
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from pipeline import models
from pipeline.base import cluster, paths
from pipeline.base.files import read_json
from pipeline.base.parallel import cores, each, workers
from pipeline.config.training import Training
from pipeline.features.cache import FeatureCache, open_cache
from pipeline.features.store import Block, Store, block
from pipeline.models.exported import Exported, export
from pipeline.training.dataset import Array, Feature, Index, Windows, even_batches
from pipeline.training.hardware import gpus, has_gpu
from pipeline.training.recipe import LIBRARIES
from pipeline.workflow.cache_key import cache_key, code, libraries

Run = Callable[[Array], Array]
"""Windows to embeddings (windows, width)."""
Runs = Callable[[Feature, Sequence[Index]], Iterator[Array]]
"""The same for each batch of (clip, offset)."""
SPACINGS = TRAIN_SPACING, EVAL_SPACING = 0.5, 1.0
"""Distance between a clip's windows, in windows: of those that a head is trained on, and of those that are averaged, which
are every second of them."""


class Embeddings:
    """(windows, width) in memory, the windows of a clip one after another; see :class:`pipeline.training.dataset.Source`."""

    frames, silence_db = 1, 0.0

    def __init__(self, values: Array, counts: Index) -> None:
        self.values = values
        self.counts = counts
        self.starts = np.cumsum(counts) - counts

    def max_offset(self) -> Index:
        return self.counts - 1

    def cut(self, clips: Index, offsets: Index) -> Array:
        return self.values[self.starts[clips] + offsets]


def embed(
    splits: Sequence[Windows],
    backbones: Iterable[nn.Module],
    settings: Training,
    cache_dir: Path,
    spacings: Sequence[float],
) -> list[Windows]:
    """For windows of one feature, the embeddings of all backbones side by side.

    Args:
        cache_dir: cached embeddings, by the backbone with its weights, and by the clip's rows.
        spacings: one of SPACINGS for each of ``splits``.
    """
    pairs = [_half_apart(windows) for windows in splits]
    every = [_embeddings(backbone, splits, pairs, settings, cache_dir) for backbone in backbones]
    found = []
    for windows, spacing, own, values in zip(splits, spacings, pairs, zip(*every, strict=True), strict=True):
        clips = own[:, 0]
        number = np.arange(len(clips)) - np.searchsorted(clips, clips)  # within its clip
        used = number % round(spacing / TRAIN_SPACING) == 0
        counts = np.bincount(clips[used], minlength=len(windows))
        found.append(Windows([Embeddings(np.concatenate(values, axis=1)[used], counts)], windows.targets))
    return found


def pack(
    windows: Windows, clips: Sequence[str], backbone: nn.Module, settings: Training, cache_dir: Path, target: Path
) -> None:
    """Put a store of all embeddings that training needs of a frozen backbone at ``target``, where :func:`embed` finds it."""
    with _open(backbone, windows, settings, cache_dir) as (cached, run):
        blocks = _blocks(windows, _half_apart(windows), run, cached, settings)
        for clip, (source, values, _) in zip(clips, blocks, strict=True):
            cached.add(clip, source, values)
        cached.finish(target)


def repack(windows: Windows, clips: Sequence[str], key: str, cache_dir: Path, target: Path) -> bool:
    """As :func:`pack`, without the backbone, of whose key it is; False, and nothing is done, where an embedding is not cached."""
    if not any((cache_dir / key).glob("*/spec.json")):
        return False
    with open_cache(cache_dir / key, dict) as cached:
        sources = _sources(_feature(windows).digests, _half_apart(windows))
        if any(source not in cached for source in sources):
            return False
        for clip, source in zip(clips, sources, strict=True):
            cached.add(clip, source, cached.read(source))
        cached.finish(target)
    return True


def key(backbone: nn.Module, windows: Windows, settings: Training) -> str:
    """Of the cache of a backbone's embeddings."""
    return cache_key(_fingerprint(backbone), windows.frames, has_gpu(settings))


def _half_apart(windows: Windows) -> Index:
    """(clip, offset) of the windows that cover every clip, and of one midway between each two of a clip."""
    covering = windows.even(windows.frames)
    midway = (covering[1:] + covering[:-1])[covering[1:, 0] == covering[:-1, 0]] // 2
    pairs = np.concatenate([covering, midway])
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


@contextmanager
def _open(
    backbone: nn.Module, windows: Windows, settings: Training, cache_dir: Path
) -> Iterator[tuple[FeatureCache, Callable[[], Runs]]]:
    """A backbone's cache, and the backbone, which is exported or moved to the GPU when first called for."""
    feature, twice = _feature(windows), np.zeros((2, 2), dtype=np.int64)
    own = key(backbone, windows, settings)

    @functools.cache
    def run() -> Runs:
        if devices := gpus(settings):
            return _on_gpus([_fitting(_on_gpu(backbone, device), settings.batch_size) for device in devices])
        example = feature.cut(*twice.T)
        if cluster.asked():
            return _on_cluster(backbone, example, cache_dir / f"{own}.onnx", stack)
        return partial(_here, _on_cpu(backbone, example))

    def spec() -> dict[str, Any]:
        (tried,) = run()(feature, [twice])
        return {"dtype": "float32", "width": tried.shape[1], "backbone": own}

    def tracked() -> list[Path]:
        stores = [file.parent for file in sorted(paths.EMBEDDINGS.glob("*/*/*/spec.json"))]
        return [store for store in stores if read_json(store / "spec.json")["backbone"] == own]

    with ExitStack() as stack, open_cache(cache_dir / own, spec, tracked) as cached:
        yield cached, run


def _fingerprint(backbone: nn.Module) -> str:
    """Key of a backbone: its modules with their settings, its weights, and its code."""
    digest = hashlib.sha256()
    for name, module in backbone.eval().named_modules():
        plain = {
            key: value for key, value in vars(module).items() if isinstance(value, bool | int | float | str | tuple)
        }
        digest.update(f"{name} {type(module).__qualname__} {sorted(plain.items())}\n".encode())
    # what is made from settings, as filters, is in no checkpoint
    for name, tensor in (backbone.state_dict() | dict(backbone.named_buffers())).items():
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode() + tensor.contiguous().numpy().tobytes())
    own_code = code(type(backbone).__module__, within=[models])
    return cache_key(digest.hexdigest(), own_code, libraries(*LIBRARIES))


def _embeddings(
    backbone: nn.Module, splits: Sequence[Windows], pairs: Sequence[Index], settings: Training, cache_dir: Path
) -> list[Array]:
    """(windows, width) for each of ``splits``."""
    found = []
    with _open(backbone, splits[0], settings, cache_dir) as (cached, run):
        for windows, own in zip(splits, pairs, strict=True):
            rows = []
            for clip, (source, values, fresh) in enumerate(_blocks(windows, own, run, cached, settings)):
                if fresh:
                    cached.add(str(clip), source, values)
                rows.append(np.frombuffer(values.content, np.float32))
            found.append(np.concatenate(rows).reshape(len(own), -1))
    return found


def _blocks(
    windows: Windows, pairs: Index, run: Callable[[], Runs], cached: FeatureCache, settings: Training
) -> Iterator[tuple[str, Block, bool]]:
    """For each clip: its key in the cache, its embeddings, and whether they are not in the cache yet."""
    sources = _sources(_feature(windows).digests, pairs)
    missing = {clip for clip, source in enumerate(sources) if source not in cached}
    computed = _computed(windows, pairs, sorted(missing), run, settings)
    for clip, source in enumerate(sources):
        fresh = clip in missing
        yield source, block(next(computed), "float32") if fresh else cached.read(source), fresh


def _sources(digests: Sequence[str], pairs: Index) -> list[str]:
    """Each clip's key in the cache: of its rows, and where its windows start."""
    offsets = np.split(pairs[:, 1], np.flatnonzero(np.diff(pairs[:, 0])) + 1)
    return [
        hashlib.sha256(f"{digest} {own.tolist()}".encode()).hexdigest()
        for digest, own in zip(digests, offsets, strict=True)
    ]


def _feature(windows: Windows) -> Feature:
    (feature,) = windows.sources
    if not isinstance(feature, Feature):
        raise TypeError("only windows of a stored feature have digests of their clips")
    return feature


def _computed(
    windows: Windows, pairs: Index, missing: list[int], run: Callable[[], Runs], settings: Training
) -> Iterator[Array]:
    """The embeddings of each missing clip; batches are full however many windows a clip has."""
    todo = pairs[np.isin(pairs[:, 0], missing)]
    rows: dict[int, list[Array]] = {}
    if len(todo):
        batches = even_batches(todo, settings.batch_size)
        for batch, values in zip(batches, run()(_feature(windows), batches), strict=True):
            for clip, row in zip(batch[:, 0], values, strict=True):
                rows.setdefault(int(clip), []).append(row)
            # all but the last clip of a batch are complete
            for clip in [clip for clip in rows if clip != int(batch[-1, 0])]:
                yield np.stack(rows.pop(clip))
        yield from map(np.stack, rows.values())


def _here(run: Run, feature: Feature, batches: Sequence[Index]) -> Iterator[Array]:
    for batch in tqdm(batches, "embed", unit="batch", disable=len(batches) == 1 or None, dynamic_ncols=True):
        yield run(feature.cut(*batch.T))


def _on_gpus(copies: Sequence[Run]) -> Runs:
    """Each batch by a copy of the backbone that is idle."""
    idle: SimpleQueue[Run] = SimpleQueue()
    for copy in copies:
        idle.put(copy)

    def run(inputs: Array) -> Array:
        own = idle.get()
        try:
            return own(inputs)
        finally:
            idle.put(own)

    def runs(feature: Feature, batches: Sequence[Index]) -> Iterator[Array]:
        with ThreadPoolExecutor(len(copies)) as pool:
            yield from each(pool, lambda batch: run(feature.cut(*batch.T)), batches, "embed", "batch")

    return runs


def _on_gpu(backbone: nn.Module, device: str) -> Run:
    backbone = deepcopy(backbone).to(device)
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    half = torch.autocast(
        "cuda", torch.bfloat16 if bf16 else torch.float16, enabled=getattr(backbone, "half_precision", False)
    )

    def run(inputs: Array) -> Array:
        with torch.inference_mode(), half:
            values: Array = backbone(torch.from_numpy(inputs).to(device)).float().cpu().numpy()
            return values

    return run


def _fitting(run: Run, most: int) -> Run:
    """``run`` on as many windows at once as there is memory for, at ``most``; by accelerate's finder, where it is installed."""
    try:
        from accelerate.utils import find_executable_batch_size
    except ModuleNotFoundError:
        return run

    def fitting(batch_size: int, inputs: Array) -> Array:
        return np.concatenate([run(inputs[at : at + batch_size]) for at in range(0, len(inputs), batch_size)])

    found: Run = find_executable_batch_size(fitting, starting_batch_size=most)
    return found


def _on_cpu(backbone: nn.Module, example: Array) -> Run:
    """ONNX Runtime takes half of the time that torch takes there, and gives the same bits on any number of threads."""
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "backbone.onnx"
        _export(backbone, example, graph)
        exported = Exported(graph, cores())
    return lambda inputs: exported([inputs])


def _export(backbone: nn.Module, example: Array, graph: Path) -> None:
    export(backbone, [torch.from_numpy(example)], ["window"], ["embedding"], graph)


def _on_cluster(backbone: nn.Module, example: Array, graph: Path, stack: ExitStack) -> Runs:
    """As on this machine's CPU, to the bit.

    Args:
        graph: where all machines see it, until the stack closes.
    """
    _export(backbone, example, graph)
    stack.callback(graph.unlink)
    pool = stack.enter_context(workers())

    def runs(feature: Feature, batches: Sequence[Index]) -> Iterator[Array]:
        store = Path(feature.array.filename).parent  # type: ignore[attr-defined]  # a memmap
        own = [np.stack([feature.starts[clips], feature.stops[clips], at]) for clips, at in (b.T for b in batches)]
        return each(pool, partial(_there, graph, store, feature.frames), own, "embed", "batch")

    return runs


def _there(graph: Path, store: Path, frames: int, windows: Index) -> Array:
    """The embeddings of windows, each a clip's first row, the one past its last, and an offset: a worker reads the store itself."""
    (starts, stops, offsets), stored = windows, Store(store)
    feature = Feature(stored.array, starts, stops, stored.spec, frames)
    return _loaded(graph)([feature.cut(np.arange(len(offsets)), offsets)])


@functools.lru_cache(maxsize=1)
def _loaded(graph: Path) -> Exported:
    return Exported(graph, threads=1)
