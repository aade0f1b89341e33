"""Put every good clip into train, valid or test."""

import logging

import pandas as pd

from pipeline.config.project import BaseParams
from pipeline.data import clips
from pipeline.data import split as splitting

log = logging.getLogger("pipeline.stages")


def split(settings: BaseParams) -> None:
    good = clips.good(clips.read())
    rows = splitting.split(good, settings.split, settings.seed)
    log.info(splitting.explained(rows, settings.group_name))
    joined = good.merge(rows, on="clip_id")
    log.info(pd.crosstab(joined["label"], joined["part"]).to_string())
    splitting.write(rows)
