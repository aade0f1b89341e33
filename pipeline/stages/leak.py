"""What an experiment would have claimed: trained with each group in one part, and again with groups ignored."""

import logging

import pandas as pd

from pipeline import config, tracking
from pipeline.base import paths
from pipeline.base.files import atomic_write, remove, write_json
from pipeline.config.project import BaseParams
from pipeline.data import clips
from pipeline.data.split import LEAKY, SplitError
from pipeline.tracking import run_logging
from pipeline.training.leak import both_splits, gap, predicted
from pipeline.training.recipe import recipe
from pipeline.training.trials import Trial
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
        tags = {**tracking.lineage(clips.source(table)), "leaky": f"the random score: {LEAKY['random']}"}
        # a run of its own, whose metrics have names that no table of models mistakes for scores
        with tracking.run(settings.tracking.experiment, f"leak {key}", None, tags) as run:
            run.log_params(run_logging.training_params(experiment, settings.window, Trial(0, settings.seed)))
            run.log_params({"split.folds": found["folds"]})
            for name in ("grouped", "random", "gap"):
                run.log_metrics({f"leak_{name}_{end}": value for end, value in found[name].items()})
    remove(work)
    return f"test macro F1 {found['grouped']['value']:.2f} with groups kept together, {found['random']['value']:.2f} without"
