"""GTZAN mini: 100 clips of GTZAN, 10 of each genre, as mirdata's version ``mini`` describes it.

For a first try. In four genres all clips are by one artist, so no grouped split exists: it needs
``split.protocol: random``, and scores on it mean little.
"""

from pathlib import Path

from pipeline.config.data import Data
from pipeline.data.sources import Clip, gtzan


def fetch(staging: Path, cache: Path, settings: Data, seed: int) -> list[Clip]:  # noqa: ARG001 (nothing is random)
    wanted = gtzan.edition("gtzan-mini", "mini", "mini")
    return gtzan.deliver(wanted, staging, cache, settings.mirror)
