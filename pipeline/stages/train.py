"""Train one experiment, over folds and seeds: the model of each trial becomes an ONNX graph."""

import shutil
from pathlib import Path

import pandas as pd

from pipeline import config
from pipeline.base import paths
from pipeline.base.files import atomic_write, remove, write_json
from pipeline.config.project import BaseParams
from pipeline.data import split
from pipeline.tracking import run_logging
from pipeline.tracking.training import train_in_run
from pipeline.training import hardware
from pipeline.training.recipe import recipe
from pipeline.training.trials import Trial, last_score, trials
from pipeline.workflow import checkpoints


def train(settings: BaseParams, key: str) -> str:
    experiment = hardware.resolved(config.find_block("experiments", settings.experiments, key))
    every = trials(settings, split.read())
    work = checkpoints.folder("train", key, *recipe(settings, experiment, (paths.CLIPS, paths.SPLIT)))
    with run_logging.open_experiment(settings, key, experiment, checkpoints.run_id(work)) as run:
        write_json(work / paths.RUN, {"run_id": run.id})
        run_logging.log_shared(settings, key, run, experiment)
        for trial in every:
            folder = work / trial.name
            # a trial that was done before an interruption stays done
            if not (folder / "result").exists():
                with run_logging.trial(settings, key, run, trial, checkpoints.run_id(folder)) as own:
                    write_json(folder / paths.RUN, {"run_id": own.id})
                    train_in_run(settings, key, experiment, trial, folder, own)
        histories = _write(key, every, work, run.id)
    remove(work)
    return last_score(histories, experiment.training)


def _write(key: str, done: list[Trial], work: Path, run_id: str) -> list[pd.DataFrame]:
    """The stage's outputs: a folder per trial, and one table of all curves, which is also returned by trial."""
    histories = []
    with atomic_write(paths.MODELS / key) as folder:
        folder.mkdir()
        write_json(folder / paths.RUN, {"run_id": run_id})
        for trial in done:
            result = work / trial.name / "result"
            shutil.copytree(result, folder / trial.name, ignore=shutil.ignore_patterns("history.csv"))
            history = pd.read_csv(result / "history.csv")
            history.insert(0, "fold", trial.fold)
            history.insert(1, "seed", trial.seed)
            histories.append(history)
    with atomic_write(paths.HISTORY / f"{key}.csv") as file:
        pd.concat(histories).to_csv(file, index=False)
    return histories
