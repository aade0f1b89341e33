"""What frozen backbones make of windows: computed once for each window and backbone, and kept."""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from pipeline.features import reuse
from pipeline.features.reuse import Reuse
from pipeline.features.store import block
from pipeline.imports import reached, versions
from pipeline.models.exported import Exported, export
from pipeline.params import Training
from pipeline.training.hardware import has_gpu
from pipeline.training.windows import Array, EvenWindows, Feature, Index, Windows

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


def embed(
    parts: Sequence[Windows],
    backbones: Iterable[nn.Module],
    settings: Training,
    kept: Path,
    apart: float = 0.5,
) -> list[Windows]:
    """Windows of one feature, seen through the backbones, whose embeddings are joined.

    Args:
        kept: where embeddings are kept, by the backbone with its weights, and by the clip's rows.
        apart: from one window of a clip to the next, in windows.
    """
    pairs = [windows.even(max(1, int(apart * windows.frames))) for windows in parts]
    seen = [_through(backbone, parts, pairs, settings, kept) for backbone in backbones]
    counts = [
        np.bincount(own[:, 0], minlength=len(windows)) for windows, own in zip(parts, pairs, strict=True)
    ]
    return [
        Windows([Embeddings(np.concatenate(values, axis=1), own)], windows.targets)
        for windows, own, values in zip(parts, counts, zip(*seen, strict=True), strict=True)
    ]


def _through(
    backbone: nn.Module, parts: Sequence[Windows], pairs: Sequence[Index], settings: Training, kept: Path
) -> list[Array]:
    """(windows, width) of each part."""
    first = np.zeros(EXAMPLES, dtype=np.int64)
    example = _feature(parts[0]).cut(first, first)

    @cache
    def run() -> Run:
        """Made ready where something is not known yet."""
        return _on_gpu(backbone) if has_gpu(settings) else _on_cpu(backbone, example, settings.threads)

    def spec() -> dict[str, Any]:
        return {"dtype": "float32", "width": run()(example).shape[1]}

    key = f"{_fingerprint(backbone)} {parts[0].frames} {has_gpu(settings)}"
    with reuse.opened(kept / hashlib.sha256(key.encode()).hexdigest()[:16], spec) as known:
        return [_seen(windows, own, run, known, settings) for windows, own in zip(parts, pairs, strict=True)]


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
    digest.update(str(versions(reached(type(backbone).__module__))).encode())
    digest.update(" ".join(f"{library}=={version(library)}" for library in LIBRARIES).encode())
    return digest.hexdigest()


def _seen(windows: Windows, pairs: Index, run: Callable[[], Run], known: Reuse, settings: Training) -> Array:
    sources = _sources(_feature(windows).digests, pairs)
    missing = [clip for clip, source in enumerate(sources) if source not in known]
    for clip, values in zip(missing, _embedded(windows, pairs, missing, run, settings), strict=True):
        known.add(str(clip), sources[clip], block(values, "float32"))
    rows = [np.frombuffer(known.read(source).content, np.float32) for source in sources]
    return np.concatenate(rows).reshape(len(pairs), -1)


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
