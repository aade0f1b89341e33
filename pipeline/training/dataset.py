"""Windows of the clips' features: where they lie, and batches of them as arrays.

A batch is cut out of the memory-mapped stores with one indexing operation per feature.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from pipeline.features.store import Array as Stored
from pipeline.features.store import Store
from pipeline.models import Input

Index = np.ndarray[Any, np.dtype[np.int64]]
Array = np.ndarray[Any, np.dtype[np.float32]]
Targets = np.ndarray[Any, Any]
"""Labels by number (int64); of a regression, values (float32)."""
Probabilities = np.ndarray[Any, np.dtype[np.float64]]
Run = Callable[[Sequence[Array]], np.ndarray[Any, np.dtype[np.floating[Any]]]]
"""(B, labels) probabilities from one array per feature."""


class Batch(NamedTuple):
    inputs: tuple[Array, ...]
    targets: Targets
    clips: Index
    """Position of each window's clip among the clips of its part."""


class Source(Protocol):
    """Rows of some clips that windows of ``frames`` rows are cut from."""

    frames: int
    silence_db: float
    """Of windows in dB; else without meaning."""

    def max_offset(self) -> Index:
        """Greatest offset at which a window of each clip may start."""
        ...

    def cut(self, clips: Index, offsets: Index) -> Array:
        """One window per clip and offset, stacked."""
        ...


class Feature:
    """One feature of some clips: a summary or an image per clip, or frames of which models see windows."""

    def __init__(self, array: Stored, starts: Index, stops: Index, spec: Mapping[str, Any], frames: int) -> None:
        """
        Args:
            array: (rows, columns) of all clips, those of each from ``starts`` to ``stops``.
            spec: of such rows' store.
        """
        self.array, self.starts, self.stops = array, starts, stops
        self.digests: list[str] = []
        """Of each clip's rows; of stored features alone."""
        self.windowed = bool(spec["windowed"])
        self.frames = frames if self.windowed else 1
        self.silence_db = float(spec["silence_db"]) if self.windowed else 0.0
        self.full_scale = float(spec.get("full_scale", 1.0))
        self.rate: int | None = spec["sample_rate"] if spec.get("unit") == "sample" else None
        unwindowed = tuple(spec.get("image", array.shape[1:]))
        self.shape = (array.shape[1], frames) if self.windowed else unwindowed

    @classmethod
    def stored(cls, store: Store, clip_ids: Sequence[str], frames: int) -> Self:
        index = store.index(clip_ids)
        feature = cls(store.array, index["start"].to_numpy(), index["stop"].to_numpy(), store.spec, frames)
        feature.digests = list(index["digest"])
        return feature

    def of(self, places: Index) -> Self:
        """The same of the clips with these numbers alone."""
        one = copy(self)
        one.starts, one.stops = self.starts[places], self.stops[places]
        one.digests = [self.digests[place] for place in places] if self.digests else []
        return one

    def max_offset(self) -> Index:
        return np.maximum(self.stops - self.starts - self.frames, 0)

    def cut(self, clips: Index, offsets: Index) -> Array:
        """(B, columns), images (B, channels, height, width), or windows (B, bands, frames), padded with silence."""
        if not self.windowed:
            return self._scaled(self.array[self.starts[clips]]).reshape(-1, *self.shape)
        values = np.full((len(clips), self.frames, self.array.shape[1]), self.silence_db, np.float32)
        starts = self.starts[clips] + offsets
        for window, start, stop in zip(
            values, starts, np.minimum(starts + self.frames, self.stops[clips]), strict=True
        ):
            window[: stop - start] = self._scaled(self.array[start:stop])
        return values.transpose(0, 2, 1)

    def describe(self) -> Input:
        """Shape, and mean and standard deviation per column, band or channel over all these clips; not of samples, which
        are taken as they are."""
        if self.rate:
            return Input(self.shape, np.zeros(1, np.float32), np.ones(1, np.float32), self.silence_db, self.rate)
        count, total, squares = 0, np.zeros(self.shape[0]), np.zeros(self.shape[0])
        for start, stop in zip(self.starts, self.stops, strict=True):
            rows = self._scaled(self.array[start:stop]).astype(np.float64)
            if len(self.shape) == 3:
                rows = rows.reshape(self.shape[0], -1).T
            count, total, squares = count + len(rows), total + rows.sum(0), squares + (rows**2).sum(0)
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0))
        return Input(self.shape, mean.astype(np.float32), std.astype(np.float32), self.silence_db)

    def _scaled(self, stored: Any) -> Array:
        """Bytes of an image as shares of the brightest, samples as shares of the loudest."""
        values: Array = stored.astype(np.float32)
        return values if self.full_scale == 1 else values / np.float32(self.full_scale)


class Windows:
    """The windows of one part, indexed with the (clip, offset) pairs of a whole batch.

    Sources may have frames of different lengths. Offsets are those of the source that needs most windows to cover its
    clips; the others' windows lie as far between a clip's start and end. A summary is the same in all of a clip's windows.
    """

    def __init__(self, sources: Sequence[Source], targets: Targets) -> None:
        self.sources = sources
        self.targets = targets
        max_offsets = [source.max_offset() for source in sources]
        needed = [
            (int(np.ceil(max_offset / source.frames).sum()), source.frames)
            for max_offset, source in zip(max_offsets, sources, strict=True)
        ]
        self.leading = needed.index(max(needed))
        """Number of the source whose offsets these are."""
        self.frames, self.max_offset = sources[self.leading].frames, max_offsets[self.leading]
        self.shares = [max_offset / np.maximum(self.max_offset, 1) for max_offset in max_offsets]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, pairs: Index) -> Batch:
        clips, offsets = pairs[:, 0], pairs[:, 1]
        inputs = tuple(
            source.cut(clips, np.rint(offsets * share[clips]).astype(np.int64))
            for source, share in zip(self.sources, self.shares, strict=True)
        )
        return Batch(inputs, self.targets[clips], clips)

    def even(self, spacing: int) -> Index:
        """(clip, offset) of windows at most ``spacing`` apart, from each clip's first frame to its last."""
        pairs = [
            (clip, round(offset))
            for clip, spare in enumerate(self.max_offset)
            for offset in np.linspace(0, spare, 1 + int(np.ceil(spare / spacing)))
        ]
        return np.array(pairs, dtype=np.int64)

    def batches(self, batch_size: int, spacing: int = 1) -> Iterator[Batch]:
        """Windows at most ``spacing`` window lengths apart, by default so that they cover every clip, in batches of about
        equal size."""
        for pairs in even_batches(self.even(spacing * self.frames), batch_size):
            yield self[pairs]


class RandomWindows:
    """Batches of (clip, offset): each clip ``windows_per_clip`` times an epoch, at offsets drawn anew.

    They follow from seed and epoch alone, so that a resumed run draws the same.
    """

    def __init__(
        self, max_offset: Index, windows_per_clip: int, batch_size: int, seed: int, share: tuple[int, int] = (0, 1)
    ) -> None:
        """
        Args:
            share: which part of each batch this process takes, and of how many.
        """
        self.max_offset, self.repeats, self.batch_size, self.seed = max_offset, windows_per_clip, batch_size, seed
        self.place, self.shares = share
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        count = len(self.max_offset) * self.repeats
        return min(int(np.ceil(count / self.batch_size)), count // self.shares)

    def __iter__(self) -> Iterator[Index]:
        rng = np.random.default_rng((self.seed, self.epoch))
        clips = rng.permutation(np.repeat(np.arange(len(self.max_offset)), self.repeats))
        pairs = np.stack([clips, rng.integers(0, self.max_offset[clips] + 1)], axis=1)
        # shares of equal size: a last batch of one clip would break batch norm
        for batch in np.array_split(pairs, len(self)):
            yield np.array_split(batch, self.shares)[self.place]


def even_batches(pairs: Index, batch_size: int) -> list[Index]:
    """Some (clip, offset) pairs in their order, in batches of about equal size; see :meth:`Windows.even`."""
    return np.array_split(pairs, int(np.ceil(len(pairs) / batch_size)))


def averaged(run: Run, batches: Iterable[Batch], clips: int, labels: int) -> Probabilities:
    """(clips, labels): means over the windows of each clip."""
    summed, counts = np.zeros((clips, labels)), np.zeros((clips, 1))
    for batch in batches:
        np.add.at(summed, batch.clips, run(batch.inputs))
        np.add.at(counts, batch.clips, 1)
    return summed / counts
