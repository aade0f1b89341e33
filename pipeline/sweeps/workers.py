"""A worker process of a sweep: it runs trials, each over all folds and seeds, each an MLflow run."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError

from pipeline import tracking
from pipeline.base import paths
from pipeline.base.errors import UserError
from pipeline.base.files import read_json, remove, write_json
from pipeline.base.parallel import cores
from pipeline.config.experiment import Experiment
from pipeline.data import clips
from pipeline.evaluation import f1
from pipeline.sweeps.plan import Plan
from pipeline.sweeps.study import Outcome, Study
from pipeline.tracking import run_logging
from pipeline.training import splits
from pipeline.training.ensemble import Trained, answers, train_trial
from pipeline.training.hardware import resolved
from pipeline.training.splits import Splits

CURVES = ("train_loss", "valid_loss", "valid_macro_f1")
"""Logged for each epoch, with the trainings of a trial one after the other."""


def run_trials(plan: Plan, wanted: int, parent: str, jobs: int) -> None:
    """Run trials until there are as many as wanted.

    Args:
        parent: the sweep's MLflow run.
        jobs: processes that share the cores.
    """
    threads = max(1, min(plan.experiment.training.threads, cores() // jobs))
    study = Study(plan)
    while (trial := study.ask(wanted)) is not None:
        with study.alive(trial):
            outcome = _run_trial(study, trial, parent, threads)
        score = f"{outcome.score:.4f}" if outcome.scores else outcome.state
        values = ", ".join(f"{name} {value}" for name, value in outcome.values.items())
        print(f"trial {outcome.number:3}  {score:8}  {values}", flush=True)


def _run_trial(study: Study, trial: optuna.Trial, parent: str, threads: int) -> Outcome:
    """An interrupted trial resumes, in its MLflow run, when the study gives it out again."""
    plan, number = study.plan, study.number(trial)
    folder = study.folder / f"{number:04}"
    varied = plan.varied(trial.user_attrs["values"])
    training = varied.training.model_copy(update={"threads": threads})
    experiment = resolved(varied.model_copy(update={"training": training}))
    name = f"sweep {plan.key} {number:03}"
    try:
        about = f"Trial {number} of the search for better params of `{plan.key}`."
        known = trial.user_attrs.get("run_id")
        with run_logging.open_run(plan.settings, name, "sweep trial", about, known, parent) as run:
            trial.set_user_attr("run_id", run.id)
            params = run_logging.training_params(plan.key, experiment, plan.settings.window, plan.trainings[0])
            seeds = sorted({one.seed for one in plan.trainings})
            tried = trial.user_attrs["values"]
            run.log_params({**params, **tried, "fold": "all", "seed": seeds, "trial": number})
            run.set_tags({"state": "running"})
            scores = _scores(study, experiment, folder, Progress(study, trial, run))
            run.set_tags({"state": "complete" if scores else "pruned"})
            if scores:
                run.log_metrics({"sweep/mean_valid_macro_f1": float(np.mean(scores))})
        outcome = study.finish(trial, scores)
    except UpdateFinishedTrialError:  # so long without a word that another worker has taken it over
        return Outcome(number, "fail", trial.user_attrs["values"], [])
    except (UserError, OSError, StorageInternalError):  # not the fault of the values
        raise
    except Exception:
        study.fail(trial)
        raise
    remove(folder)
    return outcome


class Progress:
    """Reports a trial's epochs to MLflow and to the pruner.

    The pruner gets the trial's final mean so far, with 0 for trainings to come. So trials are compared after the same
    folds, and an easy fold makes none look better.
    """

    def __init__(self, study: Study, trial: optuna.Trial, run: tracking.Run) -> None:
        self.trial, self.run = trial, run
        self.reported = study.reported(trial)
        self.scores: list[float] = []
        """Of the trainings that are done."""
        self.trainings = len(study.plan.trainings)
        self.steps = study.plan.epochs + 1
        """Of one training: its epochs, and its end."""
        self.is_present = trial.user_attrs["values"] == study.plan.present
        """The present params are never pruned: the best trial is compared with them."""

    def epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        step = len(self.scores) * self.steps + epoch
        self.run.log_epoch(step, {name: metrics[name] for name in CURVES})
        self._report(step, sum(self.scores) + metrics["valid_macro_f1"])

    def ended(self, score: float) -> None:
        self.scores.append(score)
        if len(self.scores) < self.trainings:
            self._report(len(self.scores) * self.steps - 1, sum(self.scores))

    def _report(self, step: int, total: float) -> None:
        if step not in self.reported:
            self.trial.report(total / self.trainings, step)
        if not self.is_present and self.trial.should_prune():
            raise optuna.TrialPruned


def _scores(study: Study, experiment: Experiment, folder: Path, progress: Progress) -> list[float]:
    """Validation macro F1 of each training; empty if the trial is pruned."""
    plan = study.plan
    table, split = clips.computed(), plan.split()
    try:
        for one in plan.trainings:
            score = folder / one.name / "score.json"
            if not score.exists():
                data = splits.load(experiment, plan.settings.window, table, split, one.fold)
                work = folder / one.name / "checkpoints"
                with redirect_stdout(io.StringIO()):  # a progress bar for each of hundreds of trainings
                    found = train_trial(experiment, data, one.seed, work, paths.embeddings(), progress.epoch)
                write_json(score, _score(found, data, experiment))
            progress.ended(read_json(score))
    except optuna.TrialPruned:
        return []
    return progress.scores


def _score(found: Trained, data: Splits, experiment: Experiment) -> float:
    """On the windows that evaluation uses: a history's may lie closer together."""
    predicted = answers(found.net, data, experiment, paths.embeddings()).argmax(axis=1)
    return float(f1.macro_f1(f1.counts(data.windows["valid"].targets, predicted, len(data.labels))))
