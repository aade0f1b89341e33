"""Every format is decoded whole, whatever its header says, by the decoder that can."""

import os
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import soxr
from sounds import FORMATS, encode

from pipeline.config.data import Audit
from pipeline.data import audio
from pipeline.data.audio import DecodeError
from pipeline.data.audit import examine
from pipeline.data.ffmpeg import FfmpegDecoder

RATE = 44100
SECONDS = 6.0
LIMITS = Audit(min_seconds=0.5, max_seconds=60.0, silence_dbfs=-60.0, max_clipped=0.5, min_clips=1)
PADDING_S = 0.1
"""What a codec may add: its delay, and the end of its last frame."""
Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def signal() -> Array:
    """A tone whose pitch rises, so that every moment differs."""
    time = np.arange(int(SECONDS * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * (300 + 100 * time) * time)).astype(np.float32)


@pytest.fixture(scope="module")
def mp3(signal: Array) -> bytes:
    file = BytesIO()
    soundfile.write(file, signal, RATE, format="MP3")
    return file.getvalue()


def flac(signal: Array) -> bytearray:
    file = BytesIO()
    soundfile.write(file, signal, RATE, format="FLAC")
    return bytearray(file.getvalue())


def adts(rate: int, layout: str) -> bytes:
    """Two seconds of a tone of 440 Hz in AAC frames, which may follow others."""
    tone = np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate).astype(np.float32)
    file = BytesIO()
    with av.open(file, "w", format="adts") as out:
        stream = out.add_stream("aac", rate=rate, layout=layout)
        channels = np.stack([tone] * stream.layout.nb_channels)
        for start in range(0, len(tone), 1024):
            frame = av.AudioFrame.from_ndarray(channels[:, start : start + 1024].copy(), format="fltp", layout=layout)
            frame.sample_rate = rate
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize("others", [[(22050, "stereo")], [(22050, "mono")], [(44100, "stereo"), (44100, "mono")]])
def test_rate_and_channels_that_change_within_a_file_are_those_of_its_start(others: list[tuple[int, str]]) -> None:
    decoder = FfmpegDecoder(BytesIO(b"".join(adts(*one) for one in [(44100, "mono"), *others])))
    samples = decoder.read(10 * 44100)
    assert decoder.rate == 44100
    assert samples.shape[1] == 1
    assert len(samples) / 44100 == pytest.approx(2 * (1 + len(others)), abs=0.3)
    for second in range(2, 1 + 2 * len(others)):  # in none of them does the pitch change
        part = samples[int((second + 0.2) * 44100) : int((second + 0.7) * 44100), 0]
        assert np.abs(np.fft.rfft(part)).argmax() / 0.5 == pytest.approx(440, abs=10)


@pytest.mark.parametrize("suffix", FORMATS)
def test_formats_that_libsndfile_refuses_are_decoded(suffix: str, signal: Array, tmp_path: Path) -> None:
    file = encode(tmp_path / f"song{suffix}", signal, RATE)
    finding = examine(file, LIMITS)
    assert finding.reason == ""
    assert finding.duration_s == pytest.approx(SECONDS, abs=PADDING_S)
    found = audio.mono(file, 8000)
    expected = soxr.resample(signal, RATE, 8000)
    # a codec may shift the sound by its delay
    spectra = [np.abs(np.fft.rfft(one[8000:40000])) for one in (found, expected)]
    assert np.corrcoef(spectra[0], spectra[1])[0, 1] > 0.9


@pytest.mark.parametrize(
    ("form", "subtype", "tolerance"),
    [
        ("FLAC", "PCM_16", 0.0),
        ("WAV", "PCM_24", 0.0),
        ("AIFF", "PCM_16", 0.0),
        # decoders of lossy formats may round: by less than a step of 16 bits, 2^-15
        ("MP3", None, 2**-15),
        ("OGG", "VORBIS", 2**-15),
        # RFC 6716 asks of decoders that the ear cannot tell them apart, not for equal samples
        ("OGG", "OPUS", 1e-3),
    ],
)
def test_both_decoders_agree_on_what_both_read(
    form: str, subtype: str | None, tolerance: float, signal: Array, tmp_path: Path
) -> None:
    file = tmp_path / "song"
    soundfile.write(file, np.stack([signal, -0.5 * signal[::-1]], axis=1), 48000, format=form, subtype=subtype)
    first, second = audio.decode(file), FfmpegDecoder(file)
    other = second.read(10**9)
    assert second.rate == first[1] == 48000
    assert other.shape == first[0].shape
    np.testing.assert_allclose(other, first[0], atol=tolerance)


@pytest.mark.parametrize("form", ["FLAC", "WAV", "MP3", "OGG"])
def test_what_libsndfile_reads_keeps_its_bits(form: str, signal: Array, tmp_path: Path) -> None:
    file = tmp_path / "song"
    soundfile.write(file, signal, RATE, format=form)
    expected, rate = soundfile.read(file, dtype="float32", always_2d=True)
    found = audio.decode(file)
    assert found[1] == rate
    np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_array_equal(audio.mono(file, 22050), soxr.resample(expected[:, 0], RATE, 22050, quality="HQ"))


def xing(mp3: bytes, change: Callable[[int], int]) -> bytes:
    """With another number of frames in the header that encoders write before the first frame."""
    place = max(mp3.find(b"Xing"), mp3.find(b"Info")) + 8
    [frames] = struct.unpack(">I", mp3[place : place + 4])
    return mp3[:place] + struct.pack(">I", change(frames)) + mp3[place + 4 :]


def riff(mp3: bytes) -> bytes:
    layout = struct.pack("<HHIIHHHHIHHH", 0x55, 1, RATE, 8000, 1, 0, 12, 1, 2, 417, 1, 1393)
    body = b"WAVEfmt " + struct.pack("<I", len(layout)) + layout + b"data" + struct.pack("<I", len(mp3)) + mp3
    return b"RIFF" + struct.pack("<I", len(body)) + body


def cover(mp3: bytes, size: int) -> bytes:
    """With a picture in an ID3v2.3 tag; its bytes look like the beginning of MP3 frames."""
    picture = b"\0image/jpeg\0\3\0" + b"\xff\xfb\x90\x64" * (size // 4)
    content = b"APIC" + struct.pack(">I", len(picture)) + b"\0\0" + picture
    length = bytes(len(content) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + length + content + mp3


def junk(size: int) -> bytes:
    return np.random.default_rng(0).integers(0, 0xE0, size, np.uint8).tobytes()


MP3S: dict[str, Callable[[bytes], bytes]] = {
    "a tenth of the frames": lambda mp3: xing(mp3, lambda frames: frames // 10),
    "hundred times the frames": lambda mp3: xing(mp3, lambda frames: frames * 100),
    "no frames": lambda mp3: xing(mp3, lambda _: 0),
    "in a WAV": riff,
    "a cover of 20 MB": lambda mp3: cover(mp3, 20_000_000),
    "junk before": lambda mp3: junk(1_000) + mp3,
    "much junk before": lambda mp3: junk(200_000) + mp3,
    "zeros before": lambda mp3: bytes(1_000) + mp3,
    "many zeros before": lambda mp3: bytes(200_000) + mp3,
    "junk behind": lambda mp3: mp3 + junk(50_000),
    "ID3v1": lambda mp3: mp3 + b"TAG" + bytes(125),
}


@pytest.mark.parametrize("name", MP3S)
def test_an_odd_mp3_gives_its_whole_sound_without_a_word(
    name: str, mp3: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "song.mp3"
    file.write_bytes(MP3S[name](mp3))
    finding = examine(file, LIMITS)
    assert finding.reason == ""
    assert finding.duration_s == pytest.approx(SECONDS, abs=PADDING_S)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("form", ["MP3", "FLAC", "OGG"])
def test_files_that_are_put_together_give_both(form: str, signal: Array, tmp_path: Path) -> None:
    one = BytesIO()
    soundfile.write(one, signal, RATE, format=form)
    (tmp_path / "song").write_bytes(2 * one.getvalue())
    assert examine(tmp_path / "song", LIMITS).duration_s == pytest.approx(2 * SECONDS, abs=2 * PADDING_S)


@pytest.mark.parametrize("frames", [2**36 - 1, 0, RATE])
def test_a_flac_lasts_as_long_as_it_decodes(frames: int, signal: Array, tmp_path: Path) -> None:
    """STREAMINFO has the number of frames in 36 bits; an encoder that writes to a pipe leaves 0 there."""
    content = flac(signal)
    content[21] = content[21] & 0xF0 | frames >> 32
    content[22:26] = (frames & 0xFFFFFFFF).to_bytes(4, "big")
    file = tmp_path / "song.flac"
    file.write_bytes(content)
    finding = examine(file, LIMITS)
    assert (finding.reason, finding.duration_s) == ("", SECONDS)


@pytest.mark.parametrize("size", [0, 2 * RATE, 0xFFFFFFF0, 0xFFFFFFFF])
def test_a_wav_lasts_as_long_as_it_decodes(size: int, signal: Array, tmp_path: Path) -> None:
    """A writer that was stopped leaves a size of long ago."""
    file = tmp_path / "song.wav"
    soundfile.write(file, signal, RATE)
    content = bytearray(file.read_bytes())
    content[40:44] = struct.pack("<I", size)
    file.write_bytes(content)
    finding = examine(file, LIMITS)
    assert (finding.reason, finding.duration_s) == ("", SECONDS)


@pytest.mark.parametrize("form", ["OGG", "MP3", "FLAC"])
def test_a_very_short_file_lasts_as_long_as_it_decodes(form: str, signal: Array, tmp_path: Path) -> None:
    for number, frames in enumerate((2205, 4410, 8820)):
        file = tmp_path / f"{number}.{form.lower()}"
        soundfile.write(file, signal[:frames], RATE, format=form)
        with audio.opened(file) as recording:
            assert recording.frames == pytest.approx(frames, abs=audio.SLACK)


def test_a_chunk_behind_the_data_is_no_sound(signal: Array, tmp_path: Path) -> None:
    file = tmp_path / "song.wav"
    soundfile.write(file, signal, RATE)
    file.write_bytes(file.read_bytes() + b"LIST" + struct.pack("<I", 90_000) + bytes(90_000))
    assert examine(file, LIMITS).duration_s == SECONDS


def test_a_damaged_flac_is_used_up_to_the_damage(signal: Array, tmp_path: Path) -> None:
    content = flac(signal)
    file = tmp_path / "song.flac"
    file.write_bytes(content[: len(content) * 6 // 10])
    samples, _ = audio.decode(file)
    assert 0.5 * len(signal) < len(samples) < 0.7 * len(signal)
    np.testing.assert_allclose(samples[:, 0], signal[: len(samples)], atol=2**-15)


HLS = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:6,\n{song}\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize("content", [HLS, b"#EXTM3U\n{song}\n", b"ffconcat version 1.0\nfile {song}\n"])
@pytest.mark.parametrize("suffix", [".m3u8", ".mp3"])
def test_a_playlist_opens_no_other_file(content: bytes, suffix: str, mp3: bytes, tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(mp3)
    file = tmp_path / f"list{suffix}"
    file.write_bytes(content.replace(b"{song}", os.fsencode(tmp_path / "song.mp3")))
    with pytest.raises(DecodeError, match="cannot be decoded"):
        audio.decode(file)


def test_channels_that_cancel_each_other_are_used_by_one(signal: Array, tmp_path: Path) -> None:
    file = tmp_path / "song.wav"
    soundfile.write(file, np.stack([signal, -signal], axis=1), RATE, subtype="FLOAT")
    assert examine(file, LIMITS).reason == ""
    np.testing.assert_array_equal(audio.mono(file, RATE), signal)


def test_an_open_file_is_decoded_like_one_on_disk(signal: Array, mp3: bytes, tmp_path: Path) -> None:
    """What is sent to the server never lies on its disk."""
    m4a = encode(tmp_path / "song.m4a", signal, RATE)
    odd = tmp_path / "odd.mp3"
    odd.write_bytes(MP3S["a tenth of the frames"](mp3))
    for file in (m4a, odd):
        with audio.opened(BytesIO(file.read_bytes())) as recording:
            found = recording.read(10**7)
        np.testing.assert_array_equal(found, audio.decode(file)[0])


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".m4a"])
@pytest.mark.parametrize(
    ("excerpt", "starts", "length"),
    [("middle 2 s", [2.0], 2.0), ("3 sections of 1 s", [0.5, 2.5, 4.5], 1.0), ("middle 60 s", [0.0], SECONDS)],
)
def test_an_excerpt_is_cut_from_the_whole(
    excerpt: str, starts: list[float], length: float, suffix: str, signal: Array, tmp_path: Path
) -> None:
    file = tmp_path / f"song{suffix}"
    if suffix in FORMATS:
        encode(file, signal, RATE)
    else:
        soundfile.write(file, signal, RATE)
    whole, found = audio.mono(file, RATE), audio.mono(file, RATE, excerpt)
    if length == SECONDS:
        np.testing.assert_array_equal(found, whole)
        return
    with audio.opened(file) as recording:
        longer = recording.frames / RATE / SECONDS  # where a codec pads
    assert len(found) == round(len(starts) * length * RATE)
    for number, start in enumerate(starts):
        part = found[round(number * length * RATE) : round((number + 1) * length * RATE)]
        place = round(((start + length / 2) * longer - length / 2) * RATE)
        near = [whole[place + lag : place + lag + len(part)] for lag in (-1, 0, 1)]  # rounding
        assert min(float(np.abs(part - one).max()) for one in near) < 2**-10
