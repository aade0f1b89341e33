"""Audio files in formats that libsndfile does not write, by FFmpeg's encoders."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av
import numpy as np

# of the suffix: the container, the encoder and its sample rate
FORMATS = {
    ".m4a": ("ipod", "aac", 44100),
    ".alac.m4a": ("ipod", "alac", 44100),
    ".aac": ("adts", "aac", 44100),
    ".ac3": ("ac3", "ac3", 44100),
    ".amr": ("amr", "libopencore_amrnb", 8000),
    ".wma": ("asf", "wmav2", 44100),
    ".wv": ("wv", "wavpack", 44100),
    ".tta": ("tta", "tta", 44100),
    ".mka": ("matroska", "libopus", 48000),
    ".webm": ("webm", "libopus", 48000),
    ".mp4": ("mp4", "aac", 44100),
    ".mp2": ("mp2", "mp2", 44100),
}


def encode(file: Path, signal: Any, rate: int, tags: Mapping[str, str] = MappingProxyType({})) -> Path:
    """Write a mono signal in the format of the file's suffixes."""
    container, codec, own = FORMATS["".join(file.suffixes)]
    with av.open(file, "w", format=container) as out:
        out.metadata.update(tags)
        stream = out.add_stream(codec, rate=own, layout="mono")
        stream.bit_rate = 12_200 if codec.startswith("libopencore") else 128_000
        resampler = av.AudioResampler(stream.format, "mono", own, frame_size=stream.codec_context.frame_size or 4096)
        frame = av.AudioFrame.from_ndarray(np.asarray(signal, np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            out.mux(stream.encode(part))
    return file
