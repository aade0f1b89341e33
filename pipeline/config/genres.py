"""genres.yaml: which tags of a pre-trained network stand for which genre."""

from typing import Annotated

from pydantic import Field

from pipeline.base import paths
from pipeline.config.base import Section
from pipeline.config.load import read


class Genres(Section):
    genres: Annotated[dict[str, Annotated[list[str], Field(min_length=1)]], Field(min_length=2)]
    """Tags by genre."""
    shown: list[str]
    """Tags that `soundtrack classify` shows beside the genre."""


def load() -> Genres:
    """
    Raises:
        ParamsError: the file is missing, is no YAML, or has a wrong key or type.
    """
    return read(paths.GENRES, Genres)
