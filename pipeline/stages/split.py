"""Put every good clip into train, valid or test."""

import logging

import pandas as pd

from pipeline import params, paths
from pipeline.data import clips
from pipeline.data.split import grouped
from pipeline.files import whole
from pipeline.stages import main

log = logging.getLogger("pipeline.stages")


def split() -> None:
    settings = params.load()
    good = clips.good(clips.read())
    rows = grouped(good, settings.split, settings.seed)
    joined = good.merge(rows, on="clip_id")
    log.info(pd.crosstab(joined["label"], joined["part"]).to_string())
    with whole(paths.SPLIT) as partial:
        rows.to_parquet(partial, index=False)


if __name__ == "__main__":
    main(split)
