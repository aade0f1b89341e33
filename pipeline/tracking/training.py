"""One trial trained inside its MLflow run."""

import time
from pathlib import Path

from pipeline import tracking
from pipeline.base import paths
from pipeline.base.files import atomic_write
from pipeline.config.experiment import Experiment
from pipeline.config.project import BaseParams
from pipeline.data import clips, split
from pipeline.tracking import run_logging
from pipeline.training import hardware, splits
from pipeline.training.ensemble import answers, save_trial, train_trial
from pipeline.training.predict import LEARNED, rows
from pipeline.training.trials import Spec, Trial


def train_in_run(
    settings: BaseParams, key: str, experiment: Experiment, trial: Trial, work: Path, run: tracking.Run
) -> None:
    """Train one trial, log it, and leave model, spec and history in ``work / "result"``."""
    table = split.read()
    data = splits.load(experiment, settings.window, clips.computed(), table, trial.fold)
    run.log_params(run_logging.training_params(key, experiment, settings.window, trial))
    start = time.monotonic()
    found = train_trial(experiment, data, trial.seed, work / "checkpoints", paths.embeddings(), run.log_epoch)
    spec = Spec(
        run_id=run.id,
        fold=trial.fold,
        refit=trial.refit,
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
        if learned := split.learned_by(table, trial.fold):
            own = data.judged_on(learned)
            rows(answers(found.net, own, experiment, paths.embeddings()), own, "valid", trial).to_parquet(
                folder / LEARNED
            )
        run_logging.model(run, key, folder, spec, data)
