"""Fetch the clips of the data source, and list its files."""

from pipeline import sources
from pipeline.config.project import Params


def download(settings: Params) -> str:
    return sources.download(settings.data, settings.seed)
