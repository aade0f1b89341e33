"""The starter data: scores of real composers, synthesised to audio on the user's machine, without a download.

Its labels are styles of written music; everything but the notes is alike in all of them.
"""

import gc
import logging
import multiprocessing
import re
import shutil
import unicodedata
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
from tqdm import tqdm

from pipeline.base import paths
from pipeline.base.parallel import at_once, end_with_parent, killed_in_words
from pipeline.config.data import Data
from pipeline.data.groups import join
from pipeline.sources import Clip, SourceError
from pipeline.sources.starter import render, scores
from pipeline.sources.starter.render import Job, Outcome, Performance
from pipeline.sources.starter.scores import Piece

log = logging.getLogger(__name__)


@dataclass
class _Style:
    """The open work of one label."""

    open: deque[tuple[int, Performance]]
    """Numbers and performances of the clips without a piece."""
    queue: deque[Piece]
    """The next pieces. One that gave a clip goes to the end, one that could not drops out."""
    taken: defaultdict[Piece, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    """Spans of the pieces that clips already play."""


def fetch(staging: Path, cache: Path, settings: Data, seed: int) -> list[Clip]:
    """``clips_per_style`` clips of ``seconds`` of each style: 22,050 Hz, mono, 16-bit FLAC.

    The same seed and package versions give the same bytes, whatever the number of cores.

    Raises:
        SourceError: the scores of a style are not enough for that many clips of that length.
    """
    corpus = scores.corpus()
    pieces = {label: scores.pieces(label, corpus) for label in scores.STYLES}
    return synthesise(pieces, corpus, staging, cache, settings, seed, at_once())


def synthesise(
    pieces: dict[str, list[Piece]], corpus: Path, staging: Path, cache: Path, settings: Data, seed: int, workers: int
) -> list[Clip]:
    """As :func:`fetch`, from the given pieces by label, which are files of ``corpus``."""
    count, seconds = settings.starter.clips_per_style, settings.starter.seconds
    styles = {}
    for label, candidates in pieces.items():
        queue = list(candidates)
        Random(f"{seed} {label}").shuffle(queue)
        drawn = ((number, render.performance(Random(f"{seed} {label} {number}"))) for number in range(count))
        styles[label] = _Style(deque(drawn), deque(queue))
    cache.mkdir(parents=True, exist_ok=True)
    # not forked: a fork of a process with threads can hang
    spawn = multiprocessing.get_context("spawn")
    with (
        killed_in_words(),
        ProcessPoolExecutor(workers, spawn, initializer=_begin) as pool,
        tqdm(total=count * len(styles), unit="clip", disable=None) as bar,
    ):
        made = _fill(styles, seconds, cache, partial(pool.map, partial(render.render, corpus=corpus)), bar)
    clips = [_deliver(render.clip_file(job, cache), staging, number, job.piece) for number, job, _ in made]
    # one group for a tune under several titles, known by its opening
    first: dict[str, str] = {}
    openings = [(clip.path, outcome.opening) for clip, (_, _, outcome) in zip(clips, made, strict=True)]
    pairs = [(path, first.setdefault(opening, path)) for path, opening in openings if opening]
    groups = join(pd.Series({clip.path: clip.group for clip in clips}), pairs)
    return sorted((replace(clip, group=groups[clip.path]) for clip in clips), key=lambda clip: clip.path)


def _begin() -> None:
    """music21 makes a million objects of a score, and by default Python looks for garbage among them every 700: that takes a
    third of the time."""
    gc.set_threshold(1_000_000, 3, 3)
    end_with_parent()


def _fill(
    styles: dict[str, _Style],
    seconds: float,
    cache: Path,
    make: Callable[[list[Job], list[Path]], Iterator[Outcome]],
    bar: "tqdm[Any]",
) -> list[tuple[int, Job, Outcome]]:
    """Each clip's number, job and outcome.

    Clips are made in rounds, each piece at most once a round. So a clip depends on earlier rounds and on its place in
    this one, not on which process was faster.
    """
    made: list[tuple[int, Job, Outcome]] = []
    piece_of_notes: dict[str, Piece] = {}
    refused: Counter[str] = Counter()
    while any(style.open for style in styles.values()):
        turns = [turn for label, style in styles.items() for turn in _turns(label, style, seconds)]
        jobs = [job for _, job in turns]
        outcomes = make(jobs, [render.clip_file(job, cache) for job in jobs])
        for (number, job), outcome in zip(turns, outcomes, strict=True):
            style, piece = styles[job.piece.label], job.piece
            refusal = outcome.refusal
            if refusal is None and piece_of_notes.setdefault(outcome.notes, piece) != piece:
                refusal = "another score has the same notes"
            if refusal is not None:
                refused[f"{piece.label}: {refusal}"] += 1
                style.open.append((number, job.performance))
                continue
            style.taken[piece].append(outcome.span)
            style.queue.append(piece)
            made.append((number, job, outcome))
            bar.update()
    skipped = f"; skipped {refused.total()} scores:" if refused else ""
    lines = [f"  {count} x {reason}" for reason, count in sorted(refused.items())]
    log.info("\n".join([f"{len(made)} clips synthesised{skipped}", *lines]))
    return made


def _turns(label: str, style: _Style, seconds: float) -> list[tuple[int, Job]]:
    """One round of a style: the next open clips, each with the next piece."""
    if style.open and not style.queue:
        raise SourceError(
            f"the scores of {label!r} are too few: {len(style.open)} clip(s) of {seconds:g} s are missing; "
            "lower data.starter.clips_per_style or data.starter.seconds in params.yaml"
        )
    turns = []
    for _ in range(min(len(style.open), len(style.queue))):
        (number, performance), piece = style.open.popleft(), style.queue.popleft()
        turns.append((number, Job(piece, performance, seconds, tuple(style.taken[piece]))))
    return turns


def _deliver(made: Path, staging: Path, number: int, piece: Piece) -> Clip:
    title = re.sub(r" \(.*|\.\w+$", "", piece.name)
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9.]+", "-", plain).strip("-.")[:60]
    file = staging / piece.label / f"{number:03d}-{slug}.flac"
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made, file)
    return Clip(
        path=(paths.AUDIO / file.relative_to(staging)).as_posix(),
        label=piece.label,
        group=piece.group,
        origin=f"synthesised from the score {piece.name}",
        licence=scores.STYLES[piece.label].licence,
    )
