"""What ``soundtrack sweep`` does: processes that work on trials, the sweep's run in MLflow, what was found."""

import multiprocessing
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock, Timeout

from pipeline import config, tracking
from pipeline.errors import reported
from pipeline.parallel import end_with_parent, share_cores
from pipeline.reports import figures
from pipeline.sweeps.figure import figure
from pipeline.sweeps.params_writer import apply
from pipeline.sweeps.plan import Plan, SweepError
from pipeline.sweeps.results import Found
from pipeline.sweeps.study import Study
from pipeline.tracking import run_logging


def sweep(experiment: str, trials: int | None, jobs: int, *, apply_best: bool, yes: bool) -> None:
    """
    Raises:
        UserError: there is no such sweep, what it needs is not here, or it runs already.
    """
    plan = Plan(config.load(), experiment)
    try:
        found = run(plan, trials or plan.sweep.trials, jobs)
    except KeyboardInterrupt:
        sys.exit("interrupted: what is done stays done, and the same command goes on")
    print(found)
    if apply_best:
        apply(plan.key, found.best.values, yes)


def run(plan: Plan, wanted: int, jobs: int) -> Found:
    """Go on until there are as many trials as wanted, those of earlier runs included."""
    study = Study(plan)
    with _alone(study):
        study.begin()
        with run_logging.opened(plan.settings, f"sweep {plan.key}", study.run_id, None) as parent:
            study.run_id = parent.id
            parent.log_params(_described(plan))
            _work(plan, wanted, parent.id, jobs)
            found = Found.of(plan, study.outcomes())
            _record(parent, plan, found)
    return found


@contextmanager
def _alone(study: Study) -> Iterator[None]:
    """While no other command works on this study: its trials would be taken for those of a killed one."""
    try:
        with FileLock(study.folder / "running.lock", timeout=0):
            yield
    except Timeout:
        raise SweepError(
            f"this sweep of {study.plan.key} runs already; --jobs gives it more processes"
        ) from None


def _work(plan: Plan, wanted: int, parent: str, jobs: int) -> None:
    """Let processes work on the study until it has as many trials as wanted.

    Raises:
        SweepError: one of them failed. The others are ended; what they were at goes on with the next run.
    """
    share_cores()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_process, args=(plan, wanted, parent, jobs)) for _ in range(jobs)]
    try:
        for process in processes:
            process.start()
        running = list(processes)
        while running:
            wait([process.sentinel for process in running])
            for ended in [process for process in running if not process.is_alive()]:
                running.remove(ended)
                if ended.exitcode:
                    raise SweepError(
                        f"a process of the sweep failed (exit code {ended.exitcode}): see above; what is done stays "
                        f"done, and the same command goes on"
                    )
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
                process.join()


def _process(plan: Plan, wanted: int, parent: str, jobs: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the parent ends this process
    end_with_parent()
    from pipeline.sweeps.workers import work  # torch, which only these processes need

    with reported():
        work(plan, wanted, parent, jobs)


def _described(plan: Plan) -> dict[str, Any]:
    """What all trials have in common, and what is tried."""
    shared = run_logging.described(plan.experiment, plan.settings.window, plan.trainings[0])
    varied = set(tracking.flat(plan.experiment.model_dump())) - set(plan.fixed)
    same = {name: value for name, value in shared.items() if name not in {*varied, "fold", "seed"}}
    space = {
        f"space.{name}": values.model_dump(exclude_none=True) for name, values in plan.sweep.space.items()
    }
    return same | space


def _record(run: tracking.Run, plan: Plan, found: Found) -> None:
    """What was found so far. Metrics have names that no table of models mistakes for scores of one."""
    counts = {f"trials_{state}": found.count(state) for state in ("complete", "pruned", "fail")}
    scores = {"sweep_best_macro_f1": found.best.score, "sweep_present_macro_f1": found.present.score}
    run.log_metrics({**counts, **scores}, step=len(found.outcomes))
    run.set_tags({f"best.{name}": str(value) for name, value in found.best.values.items()})
    run.set_tags({"best.trial": str(found.best.number)})
    table = found.table()
    run.log_tables({"trials.json": table.astype(dict.fromkeys(found.best.values, str))})
    with TemporaryDirectory() as folder:
        picture = Path(folder) / "sweep.png"
        figures.save(figure(found, plan.sweep.space), picture)
        run.log_file(picture)
