"""Predict a song's label from its audio, with the features, windows and calibration that the model was evaluated with."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from scipy.special import softmax

from pipeline.evaluation.temperature import at_temperature
from pipeline.features import extract, numba_cache
from pipeline.features.sound import Sound
from pipeline.features.store import Block
from pipeline.models.exported import Exported
from pipeline.serving import manifest
from pipeline.serving.manifest import Verdict
from pipeline.serving.ood import Array, OodDetector, row
from pipeline.serving.segments import Segment, SongError, segments
from pipeline.training.dataset import Feature, Windows, averaged

TAGS, LEAST_TAG = 3, 0.05
"""How many are told, and the least probability of one; half of musicnn's tags are below 0.01 on nearly every song."""


@dataclass(frozen=True)
class SegmentPrediction:
    start_s: float
    stop_s: float
    probabilities: Array
    """(labels,) the mean over the segment's windows, calibrated on the validation set."""
    distance: float
    """OOD score, see :mod:`pipeline.serving.ood`; of a tagger, see :class:`pipeline.serving.manifest.Manifest`."""
    tags: Array
    """(tags,) the same for a tagger's tags; of other models empty."""


@dataclass(frozen=True)
class SongPrediction:
    labels: list[str]
    probabilities: Array
    """(labels,) the mean over the segments."""
    distance: float
    """OOD score: the median over the segments."""
    verdict: Verdict
    segments: list[SegmentPrediction]
    tags: dict[str, float]
    """A tagger's TAGS strongest of those that are shown, with their probabilities."""

    @property
    def label(self) -> str:
        """The guess; empty unless the verdict is ``confident``."""
        return self.guess if self.verdict == "confident" else ""

    @property
    def guess(self) -> str:
        """The most probable label."""
        return self.ranking[0][0]

    @property
    def confidence(self) -> float:
        """The guess's probability."""
        return self.ranking[0][1]

    @cached_property
    def ranking(self) -> list[tuple[str, float]]:
        """Labels and probabilities, most probable first."""
        order = np.argsort(-self.probabilities, kind="stable")
        return [(self.labels[place], float(self.probabilities[place])) for place in order]

    def to_dict(self) -> dict[str, Any]:
        """As interface 1 in :mod:`pipeline.serving.manifest`."""
        return {
            "label": self.label,
            "guess": self.guess,
            "confidence": self.confidence,
            "verdict": self.verdict,
            "distance": self.distance,
            "seconds": sum(segment.stop_s - segment.start_s for segment in self.segments),
            "probabilities": dict(zip(self.labels, map(float, self.probabilities), strict=True)),
            "tags": self.tags,
        }


class Predictor:
    """Predicts with a bundle that :mod:`pipeline.serving.bundle` wrote. Songs without usable audio raise a SongError."""

    def __init__(self, bundle: Path, threads: int = 1) -> None:
        self.manifest = manifest.load(bundle)
        self._graph = Exported(bundle / manifest.GRAPH, threads)
        self._ood = None if self.manifest.tags else OodDetector.load(bundle / manifest.OOD)
        self._specs = {kind: extract.spec(kind, self.manifest.features) for kind in self.manifest.kinds}

    def __call__(self, file: Path | BinaryIO) -> SongPrediction:
        return self.combine([self.predict_segment(*decoded) for decoded in self.decode(file)])

    def decode(self, file: Path | BinaryIO) -> Iterator[tuple[Segment, Sound]]:
        """The song's usable segments, one in memory at a time.

        Raises:
            SongError: the file has no usable audio; the message says why.
        """
        known = self.manifest
        numba_cache.fill(known.features, known.kinds)
        for segment in segments(file, known.longest_s, known.features.sample_rate, known.audit):
            yield segment, Sound(segment.signal, known.features.sample_rate)

    def answer(self, segment: Segment, sound: Sound) -> Array:
        """(labels + tags,): means over windows of what the network gives, from the model's own features."""
        known = self.manifest
        blocks = extract.of_decoded(sound, list(self._specs), known.features)
        return self._averaged(blocks, 1 if segment.alone else known.spacing)

    def predict_segment(self, segment: Segment, sound: Sound) -> SegmentPrediction:
        known, found = self.manifest, self.answer(segment, sound)
        labels, tags = found[: len(known.labels)], found[len(known.labels) :]
        if self._ood:
            (distance,) = self._ood.distances(row(sound, known.features))
        else:
            labels = softmax(labels)  # a mean of logits is right more often than one of probabilities
            distance = 1 - max(tags[known.tags.index(tag)] for own in known.genres.values() for tag in own)
        probabilities = at_temperature(labels, known.temperature)
        return SegmentPrediction(segment.start_s, segment.stop_s, probabilities, float(distance), tags)

    def combine(self, found: list[SegmentPrediction]) -> SongPrediction:
        """Mean probabilities and median distance over a song's segments.

        The mean treats segments as one piece of evidence, not as independent ones: that would make a song of many
        segments overconfident. On unseen songs, 12 segments are hardly more accurate than one.
        """
        known = self.manifest
        probabilities = np.mean([segment.probabilities for segment in found], axis=0)
        distance = float(np.median([segment.distance for segment in found]))
        verdict: Verdict = (
            "out-of-distribution"
            if distance > known.ood_threshold
            else "uncertain"
            if probabilities.max() < known.confidence_threshold
            else "confident"
        )
        tags = np.mean([segment.tags for segment in found], axis=0)
        return SongPrediction(known.labels, probabilities, distance, verdict, found, self._shown(tags))

    def _shown(self, tags: Array) -> dict[str, float]:
        found = dict(zip(self.manifest.tags, map(float, tags), strict=True))
        shown = [(tag, found[tag]) for tag in self.manifest.shown_tags if found[tag] >= LEAST_TAG]
        return dict(sorted(shown, key=lambda pair: -pair[1])[:TAGS])

    def _rows(self, kind: str, block: Block) -> Any:
        """In the precision of the store, which models are trained and evaluated from."""
        spec = self._specs[kind]
        return np.frombuffer(block.content, spec["dtype"]).reshape(-1, spec["width"])

    def _averaged(self, blocks: dict[str, Block], spacing: int) -> Array:
        """(labels + tags,): means over windows that are ``spacing`` window lengths apart."""
        known, features = self.manifest, []
        for kind in known.kinds:
            rows = self._rows(kind, blocks[kind])
            ends = np.array([0, len(rows)])
            features.append(Feature(rows, ends[:1], ends[1:], self._specs[kind], known.window.of(kind)))
        windows = Windows(features, np.zeros(1, np.int64))
        batches = windows.batches(known.batch_size, spacing)
        return averaged(self._graph, batches, 1, len(known.labels) + len(known.tags))[0]


def predict(song: str, bundle: str) -> dict[str, Any]:
    """The function that a manifest's interface names: other versions of this package call it (:mod:`pipeline.serving.worker`)."""
    try:
        return _predictor(bundle)(Path(song)).to_dict()
    except SongError as error:
        return {"reason": str(error)}
    except Exception as error:  # one song must not stop the others
        return {"reason": f"cannot be classified: {type(error).__name__}: {error}", "unexpected": True}


@cache
def _predictor(bundle: str) -> Predictor:
    return Predictor(Path(bundle))
