"""Put the pictures of the data source into data/images, and list its files."""

from lessons.common.pictures import paths, sources
from lessons.common.pictures.config import Params
from pipeline.sources import download as fetch


def download(settings: Params) -> str:
    return fetch(settings.data, settings.seed, paths.IMAGES, sources.__name__)
