"""Fetch the clips of the data source, and list its files."""

from pipeline.config.project import Params
from pipeline.data import sources


def download(settings: Params) -> None:
    sources.download(settings.data, settings.seed)
