"""One clip of the starter data: an excerpt of a score, played by a soundfont.

Everything but the notes is the same for all styles: one instrument for all parts, drawn from one pool; one tempo in the
beats of the time signature, drawn from one range; one velocity for every note; one loudness.
"""

import functools
import hashlib
import io
import json
import math
import os
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from random import Random

import numpy as np

from pipeline.base.files import read_json
from pipeline.sources.starter import scores
from pipeline.sources.starter.scores import Note, Piece, Score, UnusableScore

SAMPLE_RATE = 22_050
TEMPO = (72.0, 120.0)
"""Slowest and fastest, in beats a minute."""
PROGRAMS = (0, 6, 19, 24, 40, 52, 68, 73)
"""General MIDI programs, counted from 0, that play high and low: grand piano, harpsichord, church organ,
nylon guitar, violin, choir, oboe, flute. (The soundfont's alto saxophone has a loud offset.)"""
RMS = 0.07
"""Of a clip, full scale being 1: -23 dBFS."""
PEAK = 0.98
"""A clip with a higher peak at that RMS is made quieter."""
LONGEST_SILENCE_S = 1.0
BARS_A_SECOND = 5
"""Of each clip of a score, that many bars of it are read; two are played at most, at 120 beats a minute."""
FADE_S = 0.02
"""At the end, where notes are cut."""


@dataclass(frozen=True)
class Performance:
    """How a clip sounds; drawn before it is known which style and piece it will be."""

    tempo: float
    """In beats a minute."""
    program: int
    place: float
    """In [0, 1): which of the possible bars the excerpt starts with."""


@dataclass(frozen=True)
class Job:
    piece: Piece
    performance: Performance
    seconds: float
    taken: tuple[tuple[float, float], ...]
    """Spans of the piece, in quarter notes, that other clips play already."""


@dataclass(frozen=True)
class Outcome:
    refusal: str | None
    """Why no clip can be made, in a few words; None if one was made."""
    span: tuple[float, float] = (0.0, 0.0)
    """In quarter notes from the beginning of the score."""
    notes: str = ""
    """A hash that is equal for two scores with the same notes, also in different keys."""
    opening: str = ""
    """See :func:`pipeline.sources.starter.scores.opening`."""


def performance(random: Random) -> Performance:
    return Performance(random.uniform(*TEMPO), random.choice(PROGRAMS), random.random())


def render(job: Job, clip: Path, corpus: Path) -> Outcome:
    """Make a clip as the FLAC file ``clip``, or find out why none can be made.

    The outcome is cached beside the clip.
    """
    cached = clip.with_suffix(".json")
    if cached.exists():
        known = read_json(cached)
        return Outcome(**known | {"span": tuple(known["span"])})
    try:
        score = scores.read(job.piece, corpus, math.ceil(BARS_A_SECOND * job.seconds * (1 + len(job.taken))))
        speed = job.performance.tempo / 60 * score.beat
        span, notes = _excerpt(score, job, speed)
    except UnusableScore as error:
        outcome = Outcome(str(error))
    else:
        outcome = Outcome(None, span, _fingerprint(score.notes), scores.opening(score))
        _write(clip, _play(notes, speed, job.performance.program, job.seconds))
    _write(cached, json.dumps(asdict(outcome)).encode())
    return outcome


def clip_file(job: Job, folder: Path) -> Path:
    """The cached file of a clip, named by everything that decides its bytes."""
    return folder / f"{hashlib.sha256(f'{_environment()}{job!r}'.encode()).hexdigest()}.flac"


@functools.cache
def _environment() -> str:
    packages = ("music21", "midirenderer", "pretty_midi", "numpy", "soundfile", "soxr")
    code = b"".join(Path(file).read_bytes() for file in (__file__, scores.__file__))
    return repr([(name, version(name)) for name in packages]) + hashlib.sha256(code).hexdigest()


def _excerpt(score: Score, job: Job, speed: float) -> tuple[tuple[float, float], list[Note]]:
    """The span of an excerpt and its notes, at ``speed`` quarter notes per second."""
    spans = _spans(score, job.seconds * speed, job.taken)
    if not spans:
        raise UnusableScore("it has no more music" if job.taken else "it is too short")
    first = int(job.performance.place * len(spans))
    for span in spans[first:] + spans[:first]:
        notes = _cut(score.notes, span)
        if _longest_silence(notes, span[1] - span[0]) <= LONGEST_SILENCE_S * speed:
            return span, notes
    raise UnusableScore("it rests too long")


def _spans(score: Score, length: float, taken: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    """All free spans of ``length`` quarter notes that begin at a bar line with a note."""
    starts, last = {note.start for note in score.notes}, max(note.end for note in score.notes)
    return [
        (bar, bar + length)
        for bar in score.bars
        if bar in starts and bar + length <= last and all(bar + length <= start or end <= bar for start, end in taken)
    ]


def _cut(notes: list[Note], span: tuple[float, float]) -> list[Note]:
    """The notes within the span, cut at its ends."""
    start, end = span
    return [
        Note(max(note.start - start, 0.0), min(note.end, end) - start, note.pitch, note.part)
        for note in notes
        if note.start < end and note.end > start
    ]


def _longest_silence(notes: list[Note], length: float) -> float:
    reached, longest = 0.0, 0.0
    for note in sorted(notes, key=lambda note: note.start):
        longest, reached = max(longest, note.start - reached), max(reached, note.end)
    return max(longest, length - reached)


def _fingerprint(notes: list[Note]) -> str:
    lowest = min(note.pitch for note in notes)
    sounding = sorted((round(note.start, 3), round(note.end, 3), note.pitch - lowest) for note in notes)
    return hashlib.sha256(repr(sounding).encode()).hexdigest()


def _play(notes: list[Note], speed: float, program: int, seconds: float) -> bytes:
    """The excerpt as FLAC."""
    import midirenderer
    import pretty_midi
    import soundfile
    import soxr

    soundfont = Path(pretty_midi.__file__).with_name("TimGM6mb.sf2").read_bytes()
    wave = midirenderer.render_wave_from(soundfont, _midi(notes, speed, program, seconds))
    stereo, rate = soundfile.read(io.BytesIO(wave), dtype="float64")
    mono = (stereo[:, 0] + stereo[:, 1]) / 2  # as mean(axis=1), which takes ten times as long
    samples = soxr.resample(mono, rate, SAMPLE_RATE)[: round(seconds * SAMPLE_RATE)]
    fade = round(FADE_S * SAMPLE_RATE)
    samples -= samples.mean()
    samples[-fade:] *= np.linspace(1, 0, fade)
    samples *= min(RMS / np.sqrt(np.mean(samples**2)), PEAK / np.max(np.abs(samples)))
    pcm = np.asarray(np.round(samples * np.iinfo(np.int16).max), dtype=np.int16)
    file = io.BytesIO()
    soundfile.write(file, pcm, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _midi(notes: list[Note], speed: float, program: int, seconds: float) -> bytes:
    import pretty_midi

    # each part has a channel of its own, since a channel cannot hold one pitch twice
    parts = {part: pretty_midi.Instrument(program) for part in sorted({note.part for note in notes})}
    for note in notes:
        parts[note.part].notes.append(pretty_midi.Note(90, note.pitch, note.start / speed, note.end / speed))
    # the renderer stops at the last event: one without effect keeps it going past the clip's end
    next(iter(parts.values())).control_changes.append(pretty_midi.ControlChange(64, 0, seconds + 0.5))
    song = pretty_midi.PrettyMIDI(resolution=480)
    song.instruments.extend(parts.values())
    file = io.BytesIO()
    song.write(file)
    return file.getvalue()


def _write(file: Path, content: bytes) -> None:
    # named by process, unlike atomic_write: two builds may be making the same clip
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(file)
