"""What an experiment would have claimed: trained with each group in one part, and again with groups ignored."""

import logging

import pandas as pd

from pipeline import config, tracking
from pipeline.base import paths
from pipeline.base.files import atomic_write, remove, write_json
from pipeline.config.project import BaseParams
from pipeline.data import clips
from pipeline.data.split import SplitError
from pipeline.tracking import leak_logging
from pipeline.training.leak import both_splits, gap, predicted
from pipeline.training.recipe import recipe
from pipeline.workflow import checkpoints

log = logging.getLogger("pipeline.stages")


def leak(settings: BaseParams, key: str) -> str:
    experiment = config.find_block("experiments", settings.experiments, key)
    tracking.connect(settings.tracking.experiment)  # a server that is down is an error before the work
    table = clips.computed()
    work = checkpoints.folder("leak", key, *recipe(settings, experiment, (paths.CLIPS, paths.SPLIT)))
    with atomic_write(paths.LEAK / key) as folder:
        folder.mkdir()
        try:
            splits = both_splits(clips.good(table), settings.split, settings.seed)
        except SplitError as error:
            log.warning("The leak cannot be measured: %s", error)
            write_json(folder / "leak.json", {"impossible": str(error)})
            return "not measured"
        answers = {
            name: predicted(settings, experiment, table, rows, work / name, paths.embeddings())
            for name, rows in splits.items()
        }
        every = pd.concat([rows.assign(protocol=name) for name, rows in answers.items()])
        every.to_parquet(folder / "predictions.parquet", index=False)
        found = gap(answers, settings.seed)
        write_json(folder / "leak.json", found)
        leak_logging.log_leak(settings, key, found)
    remove(work)
    return f"test macro F1 {found['grouped']['value']:.2f} with groups kept together, {found['random']['value']:.2f} without"
