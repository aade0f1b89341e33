"""Label probabilities of a song, from its audio alone, exactly as they were when the model was evaluated."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from pipeline.evaluation.temperature import at_temperature
from pipeline.features import extract, numba_cache
from pipeline.features.sound import Sound
from pipeline.features.store import Block
from pipeline.models.exported import Exported
from pipeline.serving import manifest, sections
from pipeline.serving.ood import KIND, Familiarity
from pipeline.serving.sections import Section
from pipeline.training.dataset import Feature, Windows
from pipeline.training.predict import averaged

Array = np.ndarray[Any, np.dtype[np.float64]]
Verdict = Literal["named", "unsure", "unfamiliar"]


@dataclass(frozen=True)
class Heard:
    """What the model makes of one section of a song."""

    start_s: float
    stop_s: float
    probabilities: Array
    """(labels,) the mean over the section's windows, calibrated on the validation part."""
    distance: float


@dataclass(frozen=True)
class Answer:
    """What the model makes of a song."""

    labels: list[str]
    probabilities: Array
    """(labels,) the mean over the sections."""
    distance: float
    verdict: Verdict
    sections: list[Heard]

    @property
    def label(self) -> str:
        """Empty unless the verdict is ``named``: a guess is no label."""
        return self.guess if self.verdict == "named" else ""

    @property
    def guess(self) -> str:
        """The most probable label."""
        return self.ranking[0][0]

    @property
    def confidence(self) -> float:
        """The probability of the guess."""
        return self.ranking[0][1]

    @cached_property
    def ranking(self) -> list[tuple[str, float]]:
        """Labels and probabilities, the most probable first."""
        order = np.argsort(-self.probabilities, kind="stable")
        return [(self.labels[place], float(self.probabilities[place])) for place in order]


class Classifier:
    def __init__(self, folder: Path, threads: int = 1) -> None:
        """
        Args:
            folder: a model as :mod:`pipeline.serving.bundle` writes it.
        """
        self.about = manifest.load(folder)
        self._graph = Exported(folder / manifest.GRAPH, threads)
        self._familiarity = Familiarity.load(folder / manifest.FAMILIAR)
        self._specs = {kind: extract.spec(kind, self.about.features) for kind in {*self.about.kinds, KIND}}

    def __call__(self, file: Path | BinaryIO) -> Answer:
        """
        Raises:
            SongError: nothing of the file can be heard; the message says why.
        """
        return self.answer(list(self.heard(file)))

    def heard(self, file: Path | BinaryIO) -> Iterator[Heard]:
        """Section by section, of which one is in memory at a time.

        Raises:
            SongError: as above.
        """
        for section, sound in self.decoded(file):
            yield self.hear(section, sound)

    def decoded(self, file: Path | BinaryIO) -> Iterator[tuple[Section, Sound]]:
        """The sections that can be heard, for who wants to see in them more than labels.

        Raises:
            SongError: as above.
        """
        known = self.about
        numba_cache.fill(known.features)
        for section in sections.sections(file, known.longest_s, known.features.sample_rate, known.audit):
            yield section, Sound(section.signal, known.features.sample_rate)

    def hear(self, section: Section, sound: Sound) -> Heard:
        blocks = extract.of_decoded(sound, list(self._specs), self.about.features)
        (distance,) = self._familiarity.distances(self._rows(KIND, blocks[KIND]))
        return Heard(section.start_s, section.stop_s, self._probabilities(blocks), float(distance))

    def answer(self, sections: list[Heard]) -> Answer:
        """All sections of a song together: their mean probabilities, and their median distance.

        The mean leaves a song no surer than its sections are. To take them for independent witnesses would make it far
        too sure: of songs that a model was not trained on, 12 sections name hardly more rightly than one.
        """
        known = self.about
        probabilities = np.mean([heard.probabilities for heard in sections], axis=0)
        distance = float(np.median([heard.distance for heard in sections]))
        verdict: Verdict = "unsure" if probabilities.max() < known.sure else "named"
        if distance > known.familiar:
            verdict = "unfamiliar"
        return Answer(known.labels, probabilities, distance, verdict, sections)

    def _rows(self, kind: str, block: Block) -> Any:
        """In the precision of the store, which models are trained and evaluated from."""
        spec = self._specs[kind]
        return np.frombuffer(block.content, spec["dtype"]).reshape(-1, spec["width"])

    def _probabilities(self, blocks: dict[str, Block]) -> Array:
        known, features = self.about, []
        for kind in known.kinds:
            rows = self._rows(kind, blocks[kind])
            ends = np.array([0, len(rows)])
            features.append(Feature(rows, ends[:1], ends[1:], self._specs[kind], known.window.of(kind)))
        batches = Windows(features, np.zeros(1, np.int64)).batches(known.batch_size)
        return at_temperature(averaged(self._graph, batches, 1, len(known.labels))[0], known.temperature)
