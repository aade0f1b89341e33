"""Songs of any length in segments, and files that are not songs."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipeline.config.project import Params
from pipeline.data.audio import mono
from pipeline.serving.segments import SongError, segments

Array = np.ndarray[Any, Any]
RATE = 22050


@pytest.fixture
def write(tmp_path: Path, noise: Callable[..., Array]) -> Callable[..., Path]:
    def make(seconds: float, name: str = "song.wav", rate: int = RATE) -> Path:
        file = tmp_path / name
        soundfile.write(file, noise(3, seconds * rate / RATE), rate)
        return file

    return make


@pytest.mark.parametrize(
    ("seconds", "expected"), [(3.0, [3.0]), (4.0, [4.0]), (5.0, [5.0]), (7.0, [3.5, 3.5]), (20.0, [4.0] * 5)]
)
def test_sections_are_equally_long_and_about_as_long_as_clips(
    seconds: float, expected: list[float], write: Callable[..., Path], settings: Params
) -> None:
    found = list(segments(write(seconds), 4.0, RATE, settings.audit))
    assert [segment.stop_s - segment.start_s for segment in found] == pytest.approx(expected, abs=1e-3)
    assert [segment.start_s for segment in found[1:]] == [segment.stop_s for segment in found[:-1]]
    whole = np.concatenate([segment.signal for segment in found])
    np.testing.assert_array_equal(whole, mono(write(seconds), RATE))


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "flac"])
def test_sections_have_no_seams(suffix: str, write: Callable[..., Path], settings: Params) -> None:
    """soundfile itself seeks behind each read, in an MP3 to a place near the one meant."""
    file = write(10.0, f"song.{suffix}")
    found = list(segments(file, 2.0, RATE, settings.audit))
    np.testing.assert_array_equal(np.concatenate([segment.signal for segment in found]), mono(file, RATE))


def test_a_clip_is_what_features_are_computed_from(write: Callable[..., Path], settings: Params) -> None:
    file = write(3.0, "song.flac", 32000)
    (segment,) = segments(file, 3.0, RATE, settings.audit)
    np.testing.assert_array_equal(segment.signal, mono(file, RATE))


def test_silence_within_a_song_is_left_out(tmp_path: Path, noise: Callable[..., Array], settings: Params) -> None:
    file = tmp_path / "gap.wav"
    soundfile.write(file, np.concatenate([noise(1, 2.0), np.zeros(2 * RATE), noise(2, 2.0)]), RATE)
    found = segments(file, 2.0, RATE, settings.audit)
    assert [(segment.start_s, segment.stop_s) for segment in found] == [(0.0, 2.0), (4.0, 6.0)]


def test_one_section_is_read_at_a_time(write: Callable[..., Path], settings: Params) -> None:
    """The file is cut off at 5 s after its first segment was asked for: what is read later is missed."""
    file = write(20.0)
    found = segments(file, 2.0, RATE, settings.audit)
    next(found)
    file.write_bytes(file.read_bytes()[: 10 * RATE])
    assert [(segment.start_s, segment.stop_s) for segment in found] == [(2.0, 4.0)]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.wav", b"", "empty file"),
        ("text.mp3", b"no music at all " * 64, "cannot be decoded"),
        ("bare.raw", b"\0" * 4096, "does not say its format"),
    ],
)
def test_what_is_no_song_says_why(name: str, content: bytes, reason: str, tmp_path: Path, settings: Params) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(SongError, match=reason):
        list(segments(file, 2.0, RATE, settings.audit))


def test_a_song_that_is_gone_or_too_short_says_so(tmp_path: Path, write: Callable[..., Path], settings: Params) -> None:
    with pytest.raises(SongError, match="No such file"):
        list(segments(tmp_path / "gone.wav", 2.0, RATE, settings.audit))
    with pytest.raises(SongError, match=r"too short: 0\.50 s"):
        list(segments(write(0.5), 2.0, RATE, settings.audit))


@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_memory_does_not_grow_with_the_song(suffix: str, write: Callable[..., Path], settings: Params) -> None:
    peaks = []
    for seconds in (20.0, 120.0):
        file = write(seconds, f"song.{suffix}")
        tracemalloc.start()
        for _ in segments(file, 5.0, RATE, settings.audit):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
