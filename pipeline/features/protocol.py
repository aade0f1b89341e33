"""What a module that computes a kind of feature has. It is loaded by the kind's name."""

from typing import Any, Protocol

import numpy as np


class Feature(Protocol):
    def compute(self, clip: Any, settings: Any, /) -> np.ndarray[Any, Any]:
        """(rows, width) of one decoded clip: one row for a summary, else one for each frame.

        Args:
            clip: a :class:`pipeline.features.sound.Sound`.
            settings: the kind's section of ``features`` in params.yaml.
        """
        ...

    def describe(self, settings: Any, /) -> dict[str, Any]:
        """What the store's spec says: at least ``width`` and ``windowed``, whether models see windows of the rows.

        Of windowed rows also ``silence_db``, the value that pads a window behind a clip's end.
        """
        ...
