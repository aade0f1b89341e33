"""Train one experiment, over folds and seeds: the chosen epoch of each trial becomes an ONNX graph."""

import shutil
import time
from functools import partial
from pathlib import Path

import pandas as pd

from pipeline import config, tracking
from pipeline.base import paths
from pipeline.base.files import atomic_write, remove, write_json
from pipeline.config.experiment import Experiment
from pipeline.config.project import BaseParams
from pipeline.data import clips, split
from pipeline.tracking import run_logging
from pipeline.training import hardware, splits
from pipeline.training.ensemble import save_trial, train_trial
from pipeline.training.recipe import recipe
from pipeline.training.trials import Spec, Trial, trials
from pipeline.workflow import checkpoints


def train(settings: BaseParams, key: str) -> None:
    experiment = hardware.resolved(config.find_experiment(settings, key))
    work = checkpoints.folder("train", key, *recipe(settings, experiment, (paths.CLIPS, paths.SPLIT)))
    with run_logging.open_run(settings, key, checkpoints.run_id(work)) as run:
        write_json(work / paths.RUN, {"run_id": run.id})
        for trial in trials(settings):
            folder = work / trial.name
            # a trial that was done before an interruption stays done
            if not (folder / "result").exists():
                with run_logging.trial(settings, key, run, trial, checkpoints.run_id(folder)) as own:
                    write_json(folder / paths.RUN, {"run_id": own.id})
                    _train(settings, experiment, trial, folder, own)
        _write(key, trials(settings), work, run.id)
    remove(work)


def _train(settings: BaseParams, experiment: Experiment, trial: Trial, work: Path, run: tracking.Run) -> None:
    """Train one trial, log it, and leave model, spec and history in ``work / "result"``."""
    table = clips.computed()
    data = splits.load(experiment, settings.window, table, split.read(), trial.fold)
    resplit = partial(splits.resplit, experiment, data, settings.window, table, trial.seed)
    run.log_params(run_logging.trial_params(experiment, settings.window, trial))
    start = time.monotonic()
    found = train_trial(experiment, data, resplit, trial.seed, work / "checkpoints", paths.embeddings(), run.log_epoch)
    spec = Spec(
        run_id=run.id,
        fold=trial.fold,
        seed=trial.seed,
        labels=data.labels,
        experiment=experiment,
        window=settings.window,
        parameters=sum(p.numel() for p in found.net.parameters() if p.requires_grad),
        device=hardware.device(experiment.training),
        train_seconds=round(time.monotonic() - start, 1),
    )
    with atomic_write(work / "result") as folder:
        folder.mkdir()
        save_trial(found, data, folder)
        spec.write(folder)
        found.history.to_csv(folder / "history.csv", index=False)
        run_logging.model(run, folder, spec, data)


def _write(key: str, done: list[Trial], work: Path, run_id: str) -> None:
    """The stage's outputs: a folder per trial, and one table of all curves."""
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
