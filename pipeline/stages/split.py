"""Put every good clip into train, valid or test."""

from pipeline.config.project import BaseParams
from pipeline.data import clips
from pipeline.data import split as splitting


def split(settings: BaseParams) -> str:
    rows = splitting.split(clips.good(clips.read()), settings.split, settings.seed)
    splitting.write(rows)
    first, count = rows[rows["fold"] == 0]["part"].value_counts(), rows["fold"].nunique()
    folds = f", the first of {count} folds" if count > 1 else ""
    return f"{', '.join(f'{part} {first[part]}' for part in splitting.PARTS)} clips{folds}"
