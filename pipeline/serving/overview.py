"""A spectrogram of a song of any length as one picture; memory does not grow with the song."""

import numpy as np
from librosa import power_to_db

from pipeline.config.features import Features
from pipeline.features.sound import Sound, mel
from pipeline.reports import data_figures

MOST = 1200
"""Columns of the picture."""


class Overview:
    """Mean power by column and mel band. When the columns are full, neighbours are joined, which frees half of them."""

    def __init__(self, features: Features) -> None:
        self._settings = features.spectrogram
        self._power = np.zeros((MOST, self._settings.bands))
        self._frames = np.zeros(MOST, np.int64)
        """In each column's sum."""
        self._span = 1
        """Frames that a column has room for."""

    def add(self, start_s: float, sound: Sound) -> None:
        """A section that begins at ``start_s``; what lies between sections stays dark."""
        spectrum = sound.stft(self._settings.n_fft, self._settings.hop_length)
        power = mel(spectrum.real**2 + spectrum.imag**2, sound.rate, self._settings.bands)
        first = round(start_s * sound.rate / self._settings.hop_length)
        places = first + np.arange(len(power))
        while places[-1] // self._span >= MOST:
            self._join()
        np.add.at(self._power, places // self._span, power)
        np.add.at(self._frames, places // self._span, 1)

    def png(self) -> bytes:
        """Time to the right, low bands at the bottom; from the loudest point of the song down to ``top_db`` below."""
        columns = int(np.flatnonzero(self._frames)[-1]) + 1
        power = self._power[:columns] / np.maximum(self._frames[:columns, None], 1)
        decibels = power_to_db(power, ref=np.max, top_db=self._settings.top_db)
        return data_figures.bands(decibels, -self._settings.top_db)

    def _join(self) -> None:
        pairs = self._power.reshape(MOST // 2, 2, -1).sum(axis=1)
        self._power = np.concatenate([pairs, np.zeros_like(pairs)])
        counts = self._frames.reshape(MOST // 2, 2).sum(axis=1)
        self._frames = np.concatenate([counts, np.zeros_like(counts)])
        self._span *= 2
