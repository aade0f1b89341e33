"""Copies are found after any change, and nothing else is."""

import io
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr

from pipeline.data import fingerprint as fingerprinting
from pipeline.data.audio import decode
from pipeline.data.fingerprint import EDGES, FRAME, HOP, NEIGHBOURS, Match, Words, fingerprint, near
from pipeline.data.groups import join

RATE = 22050
Array = np.ndarray[Any, np.dtype[np.float32]]
Sound = Callable[..., Array]
Change = Callable[[Array], tuple[Array, int]]


def music(seed: int, seconds: float = 5.0) -> Array:
    """Notes of three voices with six harmonics each, and a little noise; the loudest sample is 0.5."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(0, 0.01, round(seconds * RATE))
    for _ in range(3):
        start = 0
        while start < len(signal):
            size = int(rng.uniform(0.15, 0.6) * RATE)
            time = np.arange(len(signal[start : start + size])) / RATE
            hertz = 440 * 2 ** (rng.integers(-24, 12) / 12)
            harmonics = [np.sin(2 * np.pi * hertz * n * time) / n for n in range(1, 7)]
            signal[start : start + size] += np.exp(-3 * time) * np.sum(harmonics, axis=0)
            start += size
    return (0.5 * signal / np.abs(signal).max()).astype(np.float32)


def coded(samples: Array, rate: int, container: str, subtype: str) -> tuple[Array, int]:
    """Written to a file and read again."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, subtype=subtype)
    file.seek(0)
    read, rate = soundfile.read(file, dtype="float32")
    return read, rate


def decibel(samples: Array, change: float) -> Array:
    return samples * np.float32(10 ** (change / 20))


def later(samples: Array) -> Array:
    return samples[round(0.2 * RATE) :]


def padded(samples: Array) -> Array:
    return np.pad(later(samples), (0, round(0.2 * RATE)))


CHANGES: dict[str, Change] = {
    "none": lambda x: (x, RATE),
    "vorbis": lambda x: coded(x, RATE, "OGG", "VORBIS"),
    "mp3": lambda x: coded(x, RATE, "MP3", "MPEG_LAYER_III"),
    "16 bit": lambda x: coded(x, RATE, "WAV", "PCM_16"),
    "-12 dB": lambda x: (decibel(x, -12), RATE),
    "+3 dB": lambda x: (decibel(x, 3), RATE),
    "cut": lambda x: (later(x), RATE),
    "cut and padded": lambda x: (padded(x), RATE),
    "44.1 kHz": lambda x: (soxr.resample(x, RATE, 44100), 44100),
    "vorbis, -12 dB, cut": lambda x: coded(later(decibel(x, -12)), RATE, "OGG", "VORBIS"),
    "mp3, -12 dB, cut and padded": lambda x: coded(padded(decibel(x, -12)), RATE, "MP3", "MPEG_LAYER_III"),
    "16 bit, +3 dB, cut, 44.1 kHz": lambda x: coded(
        soxr.resample(later(decibel(x, 3)), RATE, 44100), 44100, "WAV", "PCM_16"
    ),
}


@pytest.fixture(scope="module")
def songs() -> dict[str, Array]:
    return {f"song {seed}": music(seed) for seed in range(8)}


def prints(sounds: dict[str, Array]) -> dict[str, Words]:
    return {name: fingerprint(samples, RATE) for name, samples in sounds.items()}


def named(matches: Iterable[Match]) -> list[tuple[str, str]]:
    return [(match.first, match.second) for match in matches]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("number", [1, 6])
def test_a_changed_copy_is_found_and_nothing_else(songs: dict[str, Array], change: str, number: int) -> None:
    copy = fingerprint(*CHANGES[change](songs[f"song {number}"]))
    matches = near({**prints(songs), "copy": copy})
    assert named(matches) == [("copy", f"song {number}")]
    assert matches[0].shift_s == pytest.approx(-0.2 if "cut" in change else 0, abs=0.06), "MP3 adds a delay"


def test_an_excerpt_is_found_at_its_place(songs: dict[str, Array]) -> None:
    excerpt = songs["song 3"][2 * RATE : 4 * RATE]
    (match,) = near({**prints(songs), "z": fingerprint(excerpt, RATE)})
    assert (match.first, match.second) == ("song 3", "z")
    assert match.shift_s == pytest.approx(2, abs=0.02)


@pytest.mark.parametrize(("common", "found"), [(3.0, True), (1.0, False)])
def test_a_second_in_common_is_not_enough_for_long_clips(common: float, found: bool) -> None:
    whole, cut = music(1, 8), round(common * RATE)
    first, second = whole[: 4 * RATE + cut], np.r_[whole[4 * RATE : 4 * RATE + cut], music(2, 3)]
    assert bool(near(prints({"a": first, "b": second}))) == found


def test_short_clips(songs: dict[str, Array]) -> None:
    second = {f"{name} of {last}": x[:RATE] for last in "ab" for name, x in songs.items()}
    assert named(near(prints(second))) == [(f"{name} of a", f"{name} of b") for name in songs]
    for size in (0, 1, 100, RATE // 3, RATE // 2):
        assert near(prints({"a": songs["song 1"][:size], "b": songs["song 1"][:size]})) == []
    assert near({}) == []


def test_other_parts_of_a_song_and_other_noise_are_not_the_same(noise: Sound) -> None:
    whole = music(1, 10)
    parts = {f"part {number}": whole[number * 2 * RATE :][: 2 * RATE] for number in range(5)}
    assert near(prints({**parts, **{f"noise {seed}": noise(seed, 5) for seed in range(5)}})) == []


def test_silence_and_steady_tones_have_nothing_to_compare(tone: Sound, noise: Sound) -> None:
    for silent in (tone(0, 4), tone(0, 4) + np.float32(0.3), noise(1, 4) * np.float32(1e-4)):
        assert not fingerprint(silent, RATE).any()
    for hertz in (100, 440, 441.3, 1000, 3000):
        assert not fingerprint(tone(hertz, 4), RATE)[10:-10].any()


def test_what_many_sounds_have_in_common_is_no_match(tone: Sound, songs: dict[str, Array]) -> None:
    """Silence, a test tone, held chords, and chords that die away, which hold each band's bit."""
    time = np.arange(4 * RATE) / RATE
    sounds = {"silence": tone(0, 4), "silence too": tone(0, 5), "tone": tone(440, 4), "other tone": tone(660, 4)}
    for number, (name, song) in enumerate(songs.items()):
        sounds[f"{name}, then silence"] = np.r_[song[: 2 * RATE], tone(0, 4)]
        roots = 110 * 2 ** (np.array([0, 4, 7]) / 12 + number / 8)
        chord = np.sum([tone(root * n, 4) / n / 4 for root in roots for n in range(1, 7)], axis=0)
        sounds[f"chord {number}"] = chord
        sounds[f"dying chord {number}"] = chord * np.exp(-time).astype(np.float32)
    assert near(prints(sounds)) == []
    loud = {name: np.r_[sound, songs["song 1"]] for name, sound in sounds.items() if "tone" in name}
    assert named(near(prints(loud))) == [("other tone", "tone")]


def drawn(seed: int, size: int = 300) -> Words:
    return np.random.default_rng(seed).integers(1, 2**32, size, dtype=np.uint32)


def test_bits_that_never_change_are_no_evidence() -> None:
    held = np.full(300, 0xABCDEF12, np.uint32)
    assert near({"a": held, "b": held}) == []
    assert named(near({"a": drawn(1), "b": drawn(1)})) == [("a", "b")]


def test_silence_in_common_is_no_evidence() -> None:
    first, second = (np.r_[drawn(1, 40), np.zeros(200, np.uint32), drawn(seed, 100)] for seed in (2, 3))
    assert near({"a": first, "b": second}) == []


@pytest.mark.parametrize(("wrong", "found"), [(0.2, True), (0.3, False)])
def test_a_quarter_of_the_bits_may_be_wrong(wrong: float, found: bool) -> None:
    flips = np.packbits(np.random.default_rng(7).random((300, 32)) < wrong, axis=1).view(np.uint32)[:, 0]
    flips[::20] = 0
    matches = near({"a": drawn(1), "b": drawn(1) ^ flips})
    assert bool(matches) == found
    assert all(match.error_rate == pytest.approx(0.95 * wrong, abs=0.01) for match in matches)


@pytest.mark.parametrize("lowest", [0, 24])
def test_the_outer_bands_may_all_be_damaged(lowest: int) -> None:
    damage = (np.uint32(1) + drawn(2) % np.uint32(255)) << np.uint32(lowest)
    assert named(near({"a": drawn(1), "b": drawn(1) ^ damage})) == [("a", "b")]


def test_a_loop_is_found_though_it_is_full_of_equal_words(songs: dict[str, Array]) -> None:
    loops = {name: np.tile(song[: RATE // 2], 20) for name, song in songs.items()}
    copy, rate = coded(later(loops["song 5"]), RATE, "OGG", "VORBIS")
    assert named(near({**prints(loops), "copy": fingerprint(copy, rate)})) == [("copy", "song 5")]


def test_of_many_copies_all_are_linked() -> None:
    words = {f"{song} {copy:02}": song for song in "abc" for copy in range(40)}
    matches = near({name: drawn(ord(song)) for name, song in words.items()})
    assert all(match.error_rate == 0 and match.shift_s == 0 for match in matches)
    alone = pd.Series({name: name for name in words})
    assert join(alone, named(matches)).to_dict() == {name: f"{song} 00" for name, song in words.items()}


def walk(rng: np.random.Generator, size: int, flips: float) -> Words:
    """Neighbours are alike, as in music."""
    bits = np.bitwise_xor.accumulate(rng.random((size, 32)) < flips, axis=0)
    return np.packbits(bits, axis=1).view(">u4")[:, 0].astype(np.uint32)


def collection(seed: int) -> dict[str, Words]:
    """Long, short, quiet and steady clips, some with up to thirteen damaged copies that begin later."""
    rng = np.random.default_rng(seed)
    clips: dict[str, Words] = {}
    for number in range(14):
        words = walk(rng, int(rng.choice([0, 1, 40, 300, 900])), float(rng.choice([0.001, 0.05, 0.3])))
        words[: int(rng.choice([0, 0, len(words) // 2]))] = 0
        clips[f"{rng.integers(10**6)} {number}"] = words
        for copy in range(int(rng.choice([0, 0, 1, 13]))):
            later = words[int(rng.integers(0, 1 + len(words) // 2)) :]
            damage = np.uint32(1) << rng.integers(0, 32, len(later)).astype(np.uint32)
            clips[f"{rng.integers(10**6)} {number} {copy}"] = later ^ damage
    return clips


def all_at_once(words: list[Words]) -> list[tuple[int, int, int]]:
    """The candidates as they are defined, with all pairs of equal words in memory together."""
    counts: Counter[tuple[int, int, int]] = Counter()
    for shift, mask in ((8, 0xFFFFFF), (0, 0xFFFFFF)):
        where: dict[int, dict[int, int]] = defaultdict(dict)
        for clip, content in enumerate(words):
            for frame, word in enumerate(content.tolist()):
                if word:
                    where[word >> shift & mask].setdefault(clip, frame)
        for found in map(list, (places.items() for places in where.values())):
            for step in range(1, NEIGHBOURS + 1):
                counts.update((a, b, x - y) for (a, x), (b, y) in zip(found, found[step:], strict=False))
    return sorted(candidate for candidate, count in counts.items() if count > 1)


@pytest.mark.parametrize(("block", "seed"), [(1, 0), (1000, 1)])
def test_block_by_block_the_same_is_found(block: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprinting, "BLOCK", block)
    clips = collection(seed)
    found = near(clips)
    monkeypatch.setattr(fingerprinting, "_candidates", all_at_once)
    assert found == near(clips)
    assert found


def test_memory_grows_with_the_songs_and_not_with_what_they_have_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    """Per word 4 bytes for the word and 16 for its neighbours, and less than that while they are sorted."""
    monkeypatch.setattr(fingerprinting, "BLOCK", 2**12)
    peaks = {}
    for count in (20, 80):
        clips = {str(seed): walk(np.random.default_rng(seed), 5000, 0.12) for seed in range(count)}
        tracemalloc.start()
        near(clips)
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (peaks[80] - peaks[20]) / (60 * 5000) < 32


def test_the_order_of_the_clips_does_not_matter(songs: dict[str, Array]) -> None:
    every = prints(songs)
    every |= {f"copy of {name}": words[7:] for name, words in every.items()}
    matches = near(every)
    assert named(matches) == [(f"copy of {name}", name) for name in sorted(songs)]
    assert near(dict(reversed(every.items()))) == matches


def test_words_are_those_of_the_paper() -> None:
    """Bit m is 1 if E(n, m) - E(n, m + 1) is greater than in the window before; the first is the highest."""
    signal = music(1, 2)[: 2 * RATE // 4]  # taken to be at a quarter of the rate already
    words = fingerprint(signal, 5512.5)
    assert len(words) == (len(signal) - FRAME) // HOP
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    spectra = [np.fft.rfft(signal[n * HOP :][:FRAME] * window) for n in range(len(words) + 1)]
    energy = [[np.square(np.abs(spectrum[low:high])).sum() for low, high in pairwise(EDGES)] for spectrum in spectra]
    bits = np.diff(-np.diff(energy, axis=1), axis=0) > 0
    expected = [int("".join(map(str, row)), 2) for row in bits.astype(int)]
    assert np.mean(words == expected) > 0.95, "but for rounding"
    np.testing.assert_array_equal(words, fingerprint(signal * np.float32(0.5), 5512.5))


GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")


@pytest.mark.parametrize("genre", GENRES)
def test_real_excerpts_are_found_in_their_own_clips(shared: Path, genre: str) -> None:
    names = [f"{genre}.0000{number}" for number in (1, 2, 4)]
    words = {f"clip {name}": prints_of(shared / "data/gtzan-mini/genres" / genre / name) for name in names}
    words |= {f"excerpt {name}": prints_of(shared / "data/gtzan-excerpts" / genre / name) for name in names}
    matches = near(words)
    assert named(matches) == [(f"clip {name}", f"excerpt {name}") for name in names]
    assert all(match.error_rate < 0.05 for match in matches)


def test_a_real_song_that_is_there_twice_is_found(shared: Path) -> None:
    """Of Chaos And Eternal Night by Dark Tranquillity; the two files are not equal byte for byte."""
    clip = prints_of(shared / "data/gtzan-mini/genres/metal/metal.00004")
    other = prints_of(shared / "data/gtzan-excerpts/metal/metal.00013")
    assert named(near({"metal.00004": clip, "metal.00013": other})) == [("metal.00004", "metal.00013")]


def prints_of(clip: Path) -> Words:
    samples, rate = decode(clip.with_name(f"{clip.name}.flac"))
    return fingerprint(samples.mean(axis=1), rate)
