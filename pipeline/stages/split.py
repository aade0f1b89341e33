"""Put every good clip into train, valid or test."""

from pipeline.config.project import BaseParams
from pipeline.data import clips
from pipeline.data import split as splitting


def split(settings: BaseParams) -> str:
    rows = splitting.split(clips.good(clips.read()), settings.split, settings.seed)
    splitting.write(rows)
    return splitting.in_words(rows)
