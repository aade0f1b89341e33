"""Numbers and names as a person reads them."""

import math
import re
import unicodedata
from collections.abc import Sequence

UNKNOWN = "–"


def counted(number: int, noun: str, plural: str = "") -> str:
    """1 file, 2 files."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"


def spelling(name: str) -> str:
    """Equal for ``Hip-Hop``, ``hip hop`` and ``HipHop``, and for NFC and NFD."""
    text = unicodedata.normalize("NFKC", name).casefold().replace("&", "and")
    return re.sub(r"[^\w#+]|_", "", text) or text.strip()


def listed(words: Sequence[str]) -> str:
    """a, b and c"""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def interval(low: float, high: float) -> str:
    """0.52 to 0.69; a dash where it is unknown."""
    return f"{low:.2f} to {high:.2f}" if math.isfinite(low) else UNKNOWN


def duration(seconds: float) -> str:
    """12 s, 2 min 03 s, 1 h 05 min; a dash if unknown."""
    if not math.isfinite(seconds):
        return UNKNOWN
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
