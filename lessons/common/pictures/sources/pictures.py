"""A person's own pictures: ``data/pictures/<label>/**/<picture>``."""

from pathlib import Path

from lessons.common.pictures import paths
from lessons.common.pictures.config import Data
from pipeline.sources import Clip
from pipeline.sources.folder import listed


def fetch(staging: Path, cache: Path, settings: Data, seed: int) -> list[Clip]:  # noqa: ARG001
    """List the files; the pictures stay where they are.

    Raises:
        SourceError: there are none.
    """
    return listed(
        paths.PICTURES,
        f"copy a folder with one sub-folder of pictures for each label there, or link it: ln -s FOLDER {paths.PICTURES}",
    )
