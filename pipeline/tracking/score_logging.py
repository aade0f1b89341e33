"""Scores and costs of an evaluated experiment in its MLflow run, and each trial's own in the trial's."""

import timeit
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import tracking
from pipeline.base import paths
from pipeline.config.project import BaseParams
from pipeline.evaluation import metrics
from pipeline.evaluation.expected import expected
from pipeline.models.exported import Exported
from pipeline.tracking import run_logging
from pipeline.training.answers import data_of
from pipeline.training.splits import Splits, examples
from pipeline.training.trials import specs

LOGGED = [name for name, metric in metrics.METRICS.items() if metric.logged]
VALID = [f"valid_{name}" for name in LOGGED]
TEST = [f"test_{name}" for name in LOGGED]
EXPECTED = "expected_macro_f1"
INTERVAL = ["test_macro_f1_low", "test_macro_f1_high"]
SHOWN = ["valid_macro_f1", "test_macro_f1", *INTERVAL]
"""The columns of `dvc metrics show`; `dvc exp show` has them for each experiment."""

LATENCY_RUNS = 20


def log_scores(
    settings: BaseParams,
    key: str,
    run: tracking.Run,
    found: Mapping[str, float],
    predicted: pd.DataFrame,
    learned: pd.DataFrame,
    table: pd.DataFrame,
    rows: pd.DataFrame,
) -> float:
    """To the experiment's run ``found``, and to each trial's its own; runs that the store does not know are restored.

    Returns:
        The time in ms that the last trial's model takes for a clip.
    """
    models, costs = specs(paths.MODELS / key), []
    run_logging.log_shared(settings, key, run, models[0].experiment)
    for model in models:
        own = predicted[(predicted["fold"] == model.fold) & (predicted["seed"] == model.seed)]
        # a refit is judged by the out-of-fold answers of the folds beside it
        beside = predicted[(predicted["test_fold"] == own["test_fold"].iloc[0]) & (predicted["seed"] == model.seed)]
        scores = {**_part_scores(beside if model.refit else own, "valid"), **_part_scores(own, "test")}
        if model.refit:
            known = learned[learned["fold"].isin(beside["fold"]) & (learned["seed"] == model.seed)]
            scores[EXPECTED] = expected(metrics.of_part(beside, "valid"), known, settings.seed).value
        data = data_of(model, table, rows)
        costs.append({"cost/parameters": model.parameters, "cost/train_seconds": model.train_seconds})
        inputs = [values[:1] for values in examples(data).values()]
        costs[-1] |= _measured(paths.MODELS / key / model.trial.name / "model.onnx", inputs)
        with run_logging.trial(settings, key, run, model.trial, model.run_id) as child:
            if child.restored:
                run_logging.restore(child, key, model.trial, data)
            # one step behind the last epoch: a table of runs shows the last step, which is then the delivered model
            epochs = len(run_logging.history(key, model.trial))
            if shown := _rounded(scores, [*VALID, EXPECTED]):
                child.log_metrics(shown, step=epochs)
            child.log_metrics(_rounded(scores, TEST) | costs[-1])
            child.took(model.train_seconds)
    if len(models) > 1:  # first, since MLflow's compare page draws the metric that was logged first
        run.log_metrics(_rounded(found, VALID))
        run.log_metrics(_rounded(found, [EXPECTED]))
    run.log_metrics(_rounded(found, (*TEST, *INTERVAL, "test_ece")))
    if len(models) > 1:
        every = pd.DataFrame(costs)
        run.log_metrics({**every.mean(), "cost/train_seconds": every["cost/train_seconds"].sum()})
        run.log_metrics(_rounded(found, ["test_macro_f1_sd"]))
        run.took(every["cost/train_seconds"].sum())
    return _clip_ms(data, costs[-1]["cost/latency_ms"])


def _part_scores(own: pd.DataFrame, part: str) -> dict[str, float]:
    """None where the trial has no such part."""
    return metrics.mean_scores(own, part) if (own["part"] == part).any() else {}


def _rounded(scores: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """To what a column of MLflow's table shows; the files of ``evaluation`` have all digits."""
    return {name: round(scores[name], 4) for name in names if name in scores}


def _measured(file: Path, inputs: list[Any]) -> dict[str, float]:
    """Size of an exported model, and its time for one window (one clip, for tabular features) on one thread: the shortest
    of some, since other stages may run beside it."""
    model = Exported(file, threads=1)
    times = timeit.repeat(lambda: model(inputs), number=1, repeat=LATENCY_RUNS)
    return {"cost/model_mb": round(file.stat().st_size / 1e6, 3), "cost/latency_ms": float(f"{1000 * min(times):.3g}")}


def _clip_ms(data: Splits, window_ms: float) -> float:
    """Of the windows of a clip, a mean over clips."""
    windows = data.windows["test" if "test" in data.windows else "valid"]
    return float(f"{window_ms * len(windows.even(windows.frames)) / len(windows):.3g}")
