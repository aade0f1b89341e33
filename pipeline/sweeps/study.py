"""The trials of a sweep, as Optuna keeps them: what is tried next, what came of it, what is given up early."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from filelock import FileLock
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, Trial, TrialState

from pipeline import paths
from pipeline.config.sweep import Values
from pipeline.sweeps.plan import Plan, SweepError

DIGITS = 3
"""Significant ones of the numbers that are tried, for params.yaml to stay readable."""
WHOLE_TRIALS = 10
"""So many are trained to their end, whatever they are worth, before another is given up."""
LOOKS = 8
"""How often at most a trial is compared with others. Each look may give up a good one by the luck of a fold: at every
epoch, hardly any was left."""
PATIENCE_S = 60.0
"""How long a process waits for another that writes to the database."""
COUNTED = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)
"""States of the trials that make up the number asked for; one that failed is replaced by another."""


@dataclass(frozen=True)
class Outcome:
    """What became of a trial that has ended."""

    number: int
    state: str
    """complete, pruned or fail."""
    values: dict[str, Any]
    """By dotted key of the experiment."""
    scores: list[float]
    """Macro F1 on validation of each fold and seed; empty where the trial is not complete."""

    @property
    def score(self) -> float:
        """What the sweep maximises; NaN where the trial is not complete."""
        return float(np.mean(self.scores)) if self.scores else float("nan")


class Study:
    """Any number of processes may ask it for trials."""

    def __init__(self, plan: Plan) -> None:
        """
        Raises:
            SweepError: what the experiment is trained on is not here.
        """
        self.plan, self.name = plan, plan.study()
        self.space = {
            name: _distribution(values, plan.present[name]) for name, values in plan.sweep.space.items()
        }
        self.folder = paths.cache() / "sweeps" / self.name
        """For the partial work of its trials."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._asking = FileLock(self.folder / "asking.lock")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # processes that make the tables of a new database together collide
        with FileLock(paths.cache() / "sweeps.lock"):
            self._storage = optuna.storages.RDBStorage(
                f"sqlite:///{paths.sweeps()}", engine_kwargs={"connect_args": {"timeout": PATIENCE_S}}
            )
            self._study = optuna.create_study(
                storage=self._storage, study_name=self.name, direction="maximize", load_if_exists=True
            )
        apart = (plan.epochs + 1) * len(plan.trainings) // LOOKS
        self._study.pruner = optuna.pruners.MedianPruner(
            WHOLE_TRIALS, n_warmup_steps=apart, interval_steps=max(apart, 1), n_min_trials=WHOLE_TRIALS // 2
        )

    @property
    def run_id(self) -> str | None:
        """The sweep's run in MLflow."""
        return self._study.user_attrs.get("run_id")

    @run_id.setter
    def run_id(self, value: str) -> None:
        self._study.set_user_attr("run_id", value)

    def begin(self) -> None:
        """Let the trials go on that a killed process left, and try what params.yaml has, if nothing did so yet.

        Only for a process that is alone with the study. A trial of the present values that was given up counts for
        nothing: others are compared with their score.
        """
        study_id = self._storage.get_study_id_from_name(self.name)
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            trial_id = self._storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
            self._storage.set_trial_state_values(trial_id, TrialState.WAITING)
        present = self.plan.present
        known = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING, TrialState.COMPLETE))
        if not any(trial.user_attrs.get("values") == present for trial in known):
            encoded = {name: _encoded(value, self.space[name]) for name, value in present.items()}
            self._study.enqueue_trial(encoded, user_attrs={"values": present})

    def ask(self, wanted: int) -> Trial | None:
        """The next trial, one that waits before a new one; none when there are as many as wanted.

        ``user_attrs["values"]`` is what it tries. That follows from the seed, the trial's number and what came of
        those before, whatever was interrupted.

        Raises:
            SweepError: data or code have changed since the sweep began.
        """
        if self.plan.study() != self.name:
            raise SweepError("data or code have changed since the sweep began: start it again")
        with self._asking:
            trials = self._study.get_trials(deepcopy=False)
            waiting = [trial.number for trial in trials if trial.state == TrialState.WAITING]
            if not waiting and sum(trial.state in COUNTED for trial in trials) >= wanted:
                return None
            number = waiting[0] if waiting else len(trials)
            seed = hashlib.sha256(f"{self.plan.settings.seed} {number}".encode()).digest()
            self._study.sampler = optuna.samplers.TPESampler(seed=int.from_bytes(seed[:4], "big"))
            trial = self._study.ask(self.space)
            if "values" not in trial.user_attrs:
                values = {name: _decoded(value, self.space[name]) for name, value in trial.params.items()}
                trial.set_user_attr("values", values)
            return trial

    def reported(self, trial: Trial) -> set[int]:
        """Steps that the pruner knows of a trial, which may be one that was interrupted."""
        return set(self._study.get_trials(deepcopy=False)[trial.number].intermediate_values)

    def complete(self, trial: Trial, scores: list[float]) -> Outcome:
        trial.set_user_attr("scores", scores)
        return _outcome(self._study.tell(trial, float(np.mean(scores))))

    def prune(self, trial: Trial) -> Outcome:
        return _outcome(self._study.tell(trial, state=TrialState.PRUNED))

    def fail(self, trial: Trial) -> Outcome:
        return _outcome(self._study.tell(trial, state=TrialState.FAIL))

    def outcomes(self) -> list[Outcome]:
        """Of all trials that have ended, in their order."""
        trials = self._study.get_trials(deepcopy=False)
        return [_outcome(trial) for trial in trials if trial.state.is_finished()]


def _outcome(trial: FrozenTrial) -> Outcome:
    scores = trial.user_attrs["scores"] if trial.state == TrialState.COMPLETE else []
    return Outcome(trial.number, trial.state.name.lower(), trial.user_attrs["values"], scores)


def _distribution(values: Values, present: Any) -> BaseDistribution:
    """``present`` tells whole numbers from others where both ends are whole."""
    if values.choices is not None:
        return CategoricalDistribution([json.dumps(choice) for choice in values.choices])
    low, high = values.tried
    if isinstance(low, int) and isinstance(high, int) and not isinstance(present, float):
        return IntDistribution(low, high, log=values.log)
    return FloatDistribution(low, high, log=values.log)


def _encoded(value: Any, distribution: BaseDistribution) -> Any:
    """As Optuna keeps it, which knows lists only as texts."""
    return json.dumps(value) if isinstance(distribution, CategoricalDistribution) else value


def _decoded(value: Any, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return json.loads(value)
    if isinstance(distribution, FloatDistribution):
        return min(max(float(f"{value:.{DIGITS}g}"), distribution.low), distribution.high)
    return value
