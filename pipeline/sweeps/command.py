"""``soundtrack sweep``: the worker processes, the sweep's MLflow run, its results and their figure."""

import multiprocessing
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from pipeline import config, tracking
from pipeline.base.errors import reported
from pipeline.base.parallel import end_with_parent, share_cores
from pipeline.config.sweep import Values
from pipeline.reports.figures import GREY, OKABE_ITO, WIDTH, canvas, save, tidy
from pipeline.sweeps.params_writer import apply
from pipeline.sweeps.plan import Plan, SweepError
from pipeline.sweeps.study import Results, Study, in_words
from pipeline.tracking import run_logging

COLUMNS = 3
"""Panels of the figure side by side."""


def sweep(experiment: str, trials: int | None, jobs: int, *, apply_best: bool, yes: bool) -> None:
    """
    Raises:
        UserError: there is no such sweep, what it needs is not here, or it runs already.
    """
    plan = Plan(config.load(), experiment)
    try:
        results = run(plan, trials or plan.sweep.trials, jobs)
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command resumes the sweep")
    print(results)
    if apply_best:
        apply(plan.key, results.best.values, yes)


def run(plan: Plan, wanted: int, jobs: int) -> Results:
    """Run trials until there are as many as wanted, earlier ones included."""
    study = Study(plan)
    with in_words(plan), ExitStack() as stack:
        if not study.shared:
            stack.enter_context(_locked(study))
        about = f"Search for better params of `{plan.key}`: the trials are the runs below, sweep.png is an artifact."
        with study.alone():
            study.resume()
            opened = run_logging.open_run(plan.settings, f"sweep {plan.key}", "sweep", about, study.run_id)
            parent = stack.enter_context(opened)
            study.run_id = parent.id
        parent.log_params(_params(plan))
        run_workers(plan, wanted, parent.id, jobs)
        results = Results.of(plan, study.outcomes())
        _log(parent, plan, results)
    return results


@contextmanager
def _locked(study: Study) -> Iterator[None]:
    """One command at a time works on a study: another would take running trials for those of a killed one."""
    try:
        with FileLock(study.folder / "running.lock", timeout=0):
            yield
    except Timeout:
        raise SweepError(f"this sweep of {study.plan.key} is already running; --jobs gives it more processes") from None


def run_workers(plan: Plan, wanted: int, parent: str, jobs: int) -> None:
    """Run processes until the study has as many trials as wanted.

    Raises:
        SweepError: one of them failed. The others are ended; the next command resumes their trials.
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
                if ended.exitcode == -signal.SIGKILL:
                    raise SweepError(
                        "a process of the sweep was killed, probably because memory ran out: the same command resumes the "
                        f"sweep, and takes less memory with --jobs {max(1, jobs - 1)}"
                    )
                if ended.exitcode:
                    raise SweepError(
                        f"a process of the sweep failed (exit code {ended.exitcode}); its message is above, and the "
                        "same command resumes the sweep"
                    )
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
                process.join()


def _process(plan: Plan, wanted: int, parent: str, jobs: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the parent, which ends this process
    end_with_parent()
    from pipeline.sweeps.workers import run_trials  # imports torch, which only these processes need

    with reported(), in_words(plan):
        run_trials(plan, wanted, parent, jobs)


def _params(plan: Plan) -> dict[str, Any]:
    """The params that all trials share, and the space that is searched."""
    shared = run_logging.training_params(plan.key, plan.experiment, plan.settings.window, plan.trainings[0])
    varied = set(tracking.flat(plan.experiment.model_dump())) - set(plan.fixed)
    same = {name: value for name, value in shared.items() if name not in {*varied, "fold", "seed"}}
    space = {f"space.{name}": values.model_dump(exclude_none=True) for name, values in plan.sweep.space.items()}
    return same | space


def _log(run: tracking.Run, plan: Plan, results: Results) -> None:
    """The metrics' names differ from those of a model, so that no table of models shows them."""
    counts = {f"sweep/trials_{state}": results.count(state) for state in ("complete", "pruned", "fail")}
    scores = {"sweep/best_macro_f1": results.best.score, "sweep/present_macro_f1": results.present.score}
    if np.isfinite(results.nested):
        scores["sweep/nested_macro_f1"] = results.nested
    run.log_metrics({**counts, **scores}, step=len(results.outcomes))
    best = {"trial": results.best.number, **results.best.values}
    run.set_tags({f"best.{name}": str(value) for name, value in best.items()})
    run.log_tables({"trials.json": results.table().astype(dict.fromkeys(results.best.values, str))})
    with TemporaryDirectory() as folder:
        picture = Path(folder) / "sweep.png"
        save(draw(results, plan.sweep.space), picture)
        run.log_file(picture)


def draw(found: Results, space: Mapping[str, Values]) -> Figure:
    """How the best score grew, and where in the space the good scores lie.

    Macro F1 on validation of each complete trial: above by its number, below by each value that was tried.
    """
    rows = -(-len(space) // COLUMNS)
    picture = canvas(WIDTH, 3.0 + 2.4 * rows)
    grid = picture.add_gridspec(1 + rows, COLUMNS)
    history = picture.add_subplot(grid[0, :])
    numbers = [one.number for one in found.outcomes]
    _draw(history, found, dict(zip(numbers, numbers, strict=True)))
    scores = [one.score for one in found.outcomes]
    history.step(numbers, np.fmax.accumulate(scores), where="post", color=GREY, linewidth=1, label="best so far")
    history.set_xlabel("trial")
    history.xaxis.set_major_locator(MaxNLocator(integer=True))
    for place, (name, values) in enumerate(space.items()):
        axes = picture.add_subplot(grid[1 + place // COLUMNS, place % COLUMNS], sharey=history)
        tried = {one.number: one.values[name] for one in found.outcomes}
        if values.choices is None:
            _draw(axes, found, tried)
            axes.set_xscale("log" if values.log else "linear")
            axes.set_xlim(*values.tried)
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            names = [str(choice).strip("[]") for choice in values.choices]
            axes.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
            _draw(axes, found, {number: values.choices.index(value) for number, value in tried.items()})
        axes.set_xlabel(name)
    picture.supylabel("macro F1 on validation", fontsize=10)
    handles = history.get_legend_handles_labels()
    picture.legend(*handles, loc="outside upper right", ncols=5, frameon=False, fontsize=9)
    return picture


def _draw(axes: Any, found: Results, places: Mapping[int, float]) -> None:
    """A dot for each complete trial, at its place across; a tick below for each that was pruned."""
    complete = {one.number: one.score for one in found.outcomes if one.scores}
    across = [places[number] for number in complete]
    axes.scatter(across, list(complete.values()), s=18, color=OKABE_ITO[0], alpha=0.7, label="complete")
    pruned = [places[one.number] for one in found.outcomes if one.state == "pruned"]
    axes.scatter(
        pruned, [0.02] * len(pruned), marker="|", color=GREY, transform=axes.get_xaxis_transform(), label="pruned"
    )
    for one, colour, name in ((found.present, OKABE_ITO[2], "params.yaml"), (found.best, OKABE_ITO[1], "best")):
        axes.scatter(places[one.number], one.score, s=45, color=colour, label=name)
    tidy(axes)
