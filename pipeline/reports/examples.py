"""Clips to look at and listen to on a page: pictures of the start, and the sound as MP3 within the page."""

import io
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import soundfile

from pipeline.data import urls
from pipeline.data.audio import DecodeError, mono
from pipeline.data.urls import Url
from pipeline.features.store import Store
from pipeline.reports import data_figures
from pipeline.reports.pages import Picture, data_uri

SECONDS = 10
"""Of an example that the page shows and plays, from its start."""
RATE = 22_050
"""Hz of an example's sound."""
COMPRESSION = 0.8
"""On libsndfile's scale from 0 to 1; this makes 40 kbit/s at RATE."""

PICTURES = {
    "spectrogram": "spectrogram",
    "wavelet": "scalogram",
    "musicnn": "spectrogram of musicnn",
    "fbank": "filter banks",
    "waveform": "level of the sound",
}
"""What a reader calls the picture of a feature kind."""
TICKS = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds between the numbers under an example."""


@dataclass(frozen=True)
class Example:
    clip_id: str
    group: str
    pictures: list[Picture]
    ticks: list[tuple[float, str]]
    """Of the time axis: place in percent of the width, and text."""
    sound: str | None
    """MP3 as data URI; none if the file cannot be read."""


def examples(chosen: pd.DataFrame, stores: Mapping[str, Store]) -> list[Example]:
    """One for each of these clips, in their order.

    Args:
        stores: by feature kind, all with frames of dB; an example has a picture from each.
    """
    lowest = floor(stores)
    pictures = [_pictures(kind, store, chosen["clip_id"], lowest) for kind, store in stores.items()]
    with ThreadPoolExecutor() as pool:  # MP3 takes 0.2 s each, and other threads may run meanwhile
        stored = excerpt(stores)
        sounds = list(pool.map(lambda path: sound(urls.place(path), stored), chosen["path"]))
    return [
        Example(
            clip.clip_id,
            clip.group,
            [of_kind[number] for of_kind in pictures],
            ticks(min(clip.duration_s, SECONDS)),
            sounds[number],
        )
        for number, clip in enumerate(chosen.itertuples())
    ]


def floor(stores: Mapping[str, Store]) -> float:
    """The dB of the darkest colour in all pictures."""
    return min(float(store.spec["silence_db"]) for store in stores.values())


def excerpt(stores: Mapping[str, Store]) -> str:
    """What of a clip is in the stores, as in ``features.excerpt``."""
    return str(next(iter(stores.values())).spec.get("excerpt", "whole"))


def sound(file: Path | Url, excerpt: str, start_s: float = 0.0, seconds: float = SECONDS) -> str | None:
    """A piece of the file's excerpt, mixed to one channel, as MP3 in a data URI; none if it cannot be read."""
    try:
        with urls.local(file) as here:
            signal = mono(here, RATE, excerpt, start_s, seconds)
    except (OSError, DecodeError):
        return None
    mp3 = io.BytesIO()
    soundfile.write(mp3, signal, RATE, format="MP3", compression_level=COMPRESSION, bitrate_mode="CONSTANT")
    return data_uri("audio/mpeg", mp3.getvalue())


def ticks(seconds: float, start_s: float = 0.0) -> list[tuple[float, str]]:
    """Of a time axis that begins at ``start_s``: place in percent of the width, and text."""
    step = next((step for step in TICKS if seconds / step <= 6), TICKS[-1])
    first, last = math.ceil(start_s / step - 1e-6), int((start_s + seconds) / step + 1e-6)
    times = [number * step for number in range(first, last + 1)]
    return [(100 * (time - start_s) / seconds, f"{time:g}") for time in times]


def _pictures(kind: str, store: Store, clip_ids: pd.Series, lowest: float) -> list[Picture]:
    """Of the start of each clip."""
    name, frames = (
        PICTURES.get(kind, kind),
        round(SECONDS * store.spec["sample_rate"] / store.spec["params"]["hop_length"]),
    )
    return [
        Picture(
            name,
            f"{name} of {clip_id}",
            name,
            data_figures.bands(store.array[start : min(stop, start + frames)], lowest),
        )
        for clip_id, start, stop in zip(clip_ids, *store.rows(clip_ids), strict=True)
    ]
