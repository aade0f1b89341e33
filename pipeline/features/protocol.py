"""What a module that computes a kind of feature has. It is loaded by the kind's name."""

from typing import Any, Protocol

import numpy as np


class Feature(Protocol):
    def compute(self, clip: Any, settings: Any, /) -> np.ndarray[Any, Any]:
        """(rows, width) of one :class:`pipeline.features.sound.Sound`: one row for a summary, else one for each frame."""
        ...

    def describe(self, settings: Any, /) -> dict[str, Any]:
        """The store's spec: at least ``width`` and ``windowed`` (whether models see windows of the rows), and of windowed
        rows ``silence_db``, the value that pads a window behind a clip's end."""
        ...
