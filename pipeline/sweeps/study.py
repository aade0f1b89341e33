"""The trials of a sweep in Optuna: the next values to try, the outcomes, the pruning, the results."""

import hashlib
import json
import re
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import optuna
import pandas as pd
import sqlalchemy
from filelock import FileLock
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import FrozenTrial, Trial, TrialState

from pipeline.base import paths
from pipeline.config.sweep import Values
from pipeline.sweeps.plan import Plan, SweepError

DIGITS = 3
"""Significant digits of the numbers that are tried, so that params.yaml stays readable."""
STARTUP_TRIALS = 10
"""Complete trials before the first one is pruned."""
PRUNING_CHECKS = 8
"""How often at most a trial may be pruned. Each check can prune a good trial for an unlucky fold: with a check at
every epoch, hardly any was left."""
COUNTED = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)
"""States that count towards the number of trials; a failed one is replaced."""
BEAT_S, GRACE_S = 10, 60
"""In a shared storage a worker says this often that it runs its trial; after so long without a word another takes it."""
POLL_S = 2
TABLES = 20
"""Of Optuna, and types, at each of which machines that begin together may collide."""
RETRIES = 3
"""How often a trial is given back whose workers die: it may be what kills them."""
DIRECTIONS = sqlalchemy.table("study_directions", sqlalchemy.column("study_id"))
"""A table of Optuna's with one row for each study, which Optuna writes once and never locks."""


@dataclass(frozen=True)
class Outcome:
    """A trial that has ended."""

    number: int
    state: str
    """complete, pruned or fail."""
    values: dict[str, Any]
    """By dotted keys of the experiment."""
    scores: list[float]
    """Validation macro F1 of each fold and seed; empty unless the trial is complete."""

    @property
    def score(self) -> float:
        """What the sweep maximises; NaN unless the trial is complete."""
        return float(np.mean(self.scores)) if self.scores else float("nan")


@dataclass(frozen=True)
class Results:
    """The best trial beside that of the present params."""

    outcomes: list[Outcome]
    present: Outcome
    """The trial with the values of params.yaml."""
    best: Outcome
    folds: list[int]
    """Of each training of a trial."""

    @classmethod
    def of(cls, plan: Plan, outcomes: list[Outcome]) -> Self:
        complete = [one for one in outcomes if one.scores]
        present = next(one for one in complete if one.values == plan.present)
        return cls(outcomes, present, max(complete, key=lambda one: one.score), [one.fold for one in plan.trainings])

    @property
    def nested(self) -> float:
        """What a choice among these trials scores on a fold that it is not made by, a mean over folds; NaN for one fold.

        As bootstrap bias corrected cross-validation (Tsamardinos, Greasidou and Borboudakis 2018, Machine Learning 107) it
        needs no training; folds are left out of the choice in place of bootstrap draws.
        """
        scores, folds = np.array([one.scores for one in self.outcomes if one.scores]), np.array(self.folds)
        held_out = [folds == fold for fold in np.unique(folds)] if len(set(self.folds)) > 1 else []
        found = [scores[scores[:, ~own].mean(axis=1).argmax(), own].mean() for own in held_out]
        return float(np.mean(found)) if found else float("nan")

    @property
    def optimism(self) -> str:
        """How much of the best score is luck, in a sentence."""
        if np.isnan(self.nested):
            return "With one validation part, how much of the best score is luck is not known (split.folds)."
        luck = self.best.score - self.nested
        return (
            f"A choice on all folds but one scores {self.nested:.4f} on that one, so the best score is probably {luck:.4f} too high."
            if luck > 0
            else f"A choice on all folds but one scores {self.nested:.4f} on that one, so the best score is not too high."
        )

    def count(self, state: str) -> int:
        return sum(one.state == state for one in self.outcomes)

    def table(self) -> pd.DataFrame:
        """A row for each trial: number, state, macro_f1 (NaN unless complete), and the values."""
        return pd.DataFrame(
            [{"trial": one.number, "state": one.state, "macro_f1": one.score, **one.values} for one in self.outcomes]
        )

    def __str__(self) -> str:
        failed = f", {self.count('fail')} failed" if self.count("fail") else ""
        ended = f"{self.count('complete')} complete, {self.count('pruned')} pruned{failed}"
        counts = f"{len(self.outcomes)} trials: {ended}."
        if self.best.score <= self.present.score:
            return f"{counts} None beats params.yaml: validation macro F1 {self.present.score:.4f}."
        pairs = list(zip(self.best.scores, self.present.scores, strict=True))
        better = sum(best > present for best, present in pairs)
        changes = [
            f"  {name}: {self.present.values[name]} -> {value}"
            for name, value in self.best.values.items()
            if value != self.present.values[name]
        ]
        best = (
            f"{counts} Best: trial {self.best.number}, validation macro F1 {self.best.score:.4f} (params.yaml: "
            f"{self.present.score:.4f}). It is better in {better} of {len(pairs)} trainings. {self.optimism}"
        )
        return "\n".join([best, *changes])


class Study:
    """Any number of processes may share one; with ``sweeps.storage`` on any number of machines."""

    def __init__(self, plan: Plan) -> None:
        """
        Raises:
            SweepError: an input of the experiment is missing, or the storage cannot be used.
        """
        self.shared = plan.settings.storage is not None
        self.plan, self.name = plan, plan.study()
        self.space = {name: _distribution(values, plan.present[name]) for name, values in plan.sweep.space.items()}
        self.folder = paths.cache() / "sweeps" / self.name
        """Checkpoints and scores of its running trials."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._asking = FileLock(self.folder / "asking.lock")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # neither of what heartbeats are, nor of their use without Study.optimize, which would not resume a trial
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", message="Heartbeat of storage")
        # processes that create the tables of a new database together collide
        with FileLock(paths.cache() / "sweeps.lock"), in_words(plan):
            self._storage = _storage(plan.settings.storage)
            self._study = optuna.create_study(
                storage=self._storage, study_name=self.name, direction="maximize", load_if_exists=True
            )
            self._id = self._storage.get_study_id_from_name(self.name)
        interval = (plan.epochs + 1) * len(plan.trainings) // PRUNING_CHECKS
        self._study.pruner = optuna.pruners.MedianPruner(
            STARTUP_TRIALS, n_warmup_steps=interval, interval_steps=max(interval, 1), n_min_trials=STARTUP_TRIALS // 2
        )

    @property
    def run_id(self) -> str | None:
        """Of the sweep's MLflow run."""
        return self._study.user_attrs.get("run_id")

    @run_id.setter
    def run_id(self, value: str) -> None:
        self._study.set_user_attr("run_id", value)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time, on all machines that share the storage."""
        with self._asking:
            if not self.shared:
                yield
                return
            with self._storage.engine.begin() as connection:
                own = sqlalchemy.select(DIRECTIONS).where(DIRECTIONS.c.study_id == self._id)
                connection.execute(own.with_for_update())
                yield

    def resume(self) -> None:
        """Queue the trials that a killed process left, and one of the present values if none is complete.

        Only for a process that is alone with the study. A pruned trial of the present values does not count: the best
        trial is compared with their score.
        """
        self._give_back()
        present = self.plan.present
        alive = (TrialState.RUNNING,) if self.shared else ()
        known = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING, TrialState.COMPLETE, *alive))
        if not any(trial.user_attrs.get("values") == present for trial in known):
            space = self.plan.sweep.space
            # Optuna knows no lists
            encoded = {name: json.dumps(value) if space[name].choices else value for name, value in present.items()}
            self._study.enqueue_trial(encoded, user_attrs={"values": present})

    def _give_back(self) -> None:
        """Queue what is run by no process any more: where the storage is shared, what nobody was heard of for long, or what
        lacks its values, since its process was killed in :meth:`ask`."""
        if self.shared:
            fail_stale_trials(self._study)
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not self.shared or "values" not in trial.user_attrs:
                self._storage.set_trial_state_values(self._id_of(trial), TrialState.WAITING)

    def _id_of(self, trial: Trial | FrozenTrial) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, trial.number)

    @contextmanager
    def alive(self, trial: Trial) -> Iterator[None]:
        """Tell other machines within the block that this process runs the trial."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT_S):
                with suppress(StorageInternalError):  # the trial itself says so, or the storage answers the next time
                    self._storage.record_heartbeat(self._id_of(trial))

        if self.shared:
            threading.Thread(target=beat, daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def ask(self, wanted: int) -> Trial | None:
        """The next trial, a queued one before a new one; None when there are as many as wanted.

        Where the storage is shared it waits for those that others run, since they may come back. Its values are in
        ``user_attrs["values"]``. They depend on the seed, the trial's number and the trials before it, not on interruptions.

        Raises:
            SweepError: data or code have changed since the sweep began.
        """
        if self.plan.study() != self.name:
            raise SweepError("data or code have changed since the sweep began; start it again")
        while True:
            with self.alone():
                if self.shared:
                    self._give_back()
                trials = self._study.get_trials(deepcopy=False)
                waiting = [trial.number for trial in trials if trial.state == TrialState.WAITING]
                if waiting or sum(trial.state in COUNTED for trial in trials) < wanted:
                    return self._begun(waiting[0] if waiting else len(trials))
            if not self.shared or all(trial.state != TrialState.RUNNING for trial in trials):
                return None
            time.sleep(POLL_S)

    def _begun(self, number: int) -> Trial:
        seed = hashlib.sha256(f"{self.plan.settings.seed} {number}".encode()).digest()
        self._study.sampler = optuna.samplers.TPESampler(seed=int.from_bytes(seed[:4], "big"))
        trial = self._study.ask(self.space)
        if self.shared:
            self._storage.record_heartbeat(self._id_of(trial))
        if "values" not in trial.user_attrs:
            values = {name: _decoded(value, self.space[name]) for name, value in trial.params.items()}
            trial.set_user_attr("values", values)
        return trial

    def number(self, trial: Trial) -> int:
        """That which the trial had first: when it is given back, it gets another."""
        return _number(self._study.get_trials(deepcopy=False)[trial.number])

    def reported(self, trial: Trial) -> set[int]:
        """Steps that an interrupted trial has reported already."""
        return set(self._study.get_trials(deepcopy=False)[trial.number].intermediate_values)

    def finish(self, trial: Trial, scores: list[float]) -> Outcome:
        """A trial without scores was pruned."""
        if not scores:
            return _outcome(self._study.tell(trial, state=TrialState.PRUNED, skip_if_finished=self.shared))
        trial.set_user_attr("scores", scores)
        return _outcome(self._study.tell(trial, float(np.mean(scores))))

    def fail(self, trial: Trial) -> None:
        self._study.tell(trial, state=TrialState.FAIL)

    def outcomes(self) -> list[Outcome]:
        """Of all trials that have ended, by number."""
        trials = self._study.get_trials(deepcopy=False)
        given_back = {number for trial in trials for number in RetryHeartbeatStaleTrialCallback.retry_history(trial)}
        ended = [trial for trial in trials if trial.state.is_finished() and trial.number not in given_back]
        return sorted(map(_outcome, ended), key=lambda one: one.number)


def _storage(url: str | None) -> RDBStorage:
    if url is None:
        # the timeout in seconds is for the time in which another process writes
        return RDBStorage(f"sqlite:///{paths.sweeps()}", engine_kwargs={"connect_args": {"timeout": 60.0}})
    again = RetryHeartbeatStaleTrialCallback(max_retry=RETRIES)
    beats: dict[str, Any] = {"heartbeat_interval": BEAT_S, "heartbeat_stale_trial_callback": again}
    opened = partial(RDBStorage, url, engine_kwargs={"pool_pre_ping": True}, grace_period=GRACE_S, **beats)
    try:
        for _ in range(TABLES):
            with suppress(sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError):  # another machine made one
                return opened()
        return opened()
    except ImportError as error:
        raise SweepError(f"sweeps.storage: {error.__cause__}: pip install 'soundtrack[postgresql]'") from None


@contextmanager
def in_words(plan: Plan) -> Iterator[None]:
    """
    Raises:
        SweepError: the shared storage cannot be used; the message hides its password.
    """
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError) as error:
        if plan.settings.storage is None:
            raise
        named = re.sub(r":[^:@/]+@", ":***@", plan.settings.storage)
        cause = str(error.__cause__ or error).strip().splitlines()[0]
        raise SweepError(
            f"sweeps.storage {named} cannot be used: {cause}. Put it right (docs/cluster.md), and run the same command again: "
            "what is done stays done"
        ) from None


def _number(trial: FrozenTrial) -> int:
    first = RetryHeartbeatStaleTrialCallback.retried_trial_number(trial)
    return trial.number if first is None else first


def _outcome(trial: FrozenTrial) -> Outcome:
    scores = trial.user_attrs["scores"] if trial.state == TrialState.COMPLETE else []
    return Outcome(_number(trial), trial.state.name.lower(), trial.user_attrs["values"], scores)


def _distribution(values: Values, present: Any) -> BaseDistribution:
    """Integers if both ends are, unless the present value is a float."""
    if values.choices is not None:
        return CategoricalDistribution([json.dumps(choice) for choice in values.choices])
    low, high = values.tried
    if isinstance(low, int) and isinstance(high, int) and not isinstance(present, float):
        return IntDistribution(low, high, log=values.log)
    return FloatDistribution(low, high, log=values.log)


def _decoded(value: Any, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return json.loads(value)
    if isinstance(distribution, FloatDistribution):
        return min(max(float(f"{value:.{DIGITS}g}"), distribution.low), distribution.high)
    return value
