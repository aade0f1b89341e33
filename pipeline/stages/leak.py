"""What an experiment would have claimed: trained with its groups kept together, and again with them ignored."""

import logging
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import config, paths, tracking
from pipeline.config.data import Split
from pipeline.config.experiment import Experiment
from pipeline.config.project import Params
from pipeline.data import clips
from pipeline.data.split import LEAKY, SplitError, split
from pipeline.evaluation import bootstrap, metrics
from pipeline.evaluation.bootstrap import Interval
from pipeline.files import remove, whole, write_json
from pipeline.stages import main
from pipeline.tracking import run_logging
from pipeline.training import no_callback, splits
from pipeline.training.predict import predictions
from pipeline.training.trials import Trial
from pipeline.workflow import checkpoints

MOST_FOLDS = 5
log = logging.getLogger("pipeline.stages")


def leak(key: str) -> None:
    settings = config.load()
    experiment = config.experiment(settings, key)
    tracking.connect(settings.tracking.experiment)  # a server that is down is an error before the work
    table = clips.computed()
    work = checkpoints.work("leak", settings, experiment, key)
    with whole(paths.LEAK / key) as folder:
        folder.mkdir()
        try:
            grouped, rows = _grouped(clips.good(table), settings)
        except SplitError as error:
            log.warning("The leak cannot be measured: %s", error)
            write_json(folder / "leak.json", {"impossible": str(error)})
            return
        ungrouped = grouped.model_copy(update={"protocol": "random"})
        splits = {"grouped": rows, "random": split(clips.good(table), ungrouped, settings.seed)}
        answers = {
            name: _answers(settings, experiment, table, rows, work / name) for name, rows in splits.items()
        }
        tables = [rows.assign(protocol=name) for name, rows in answers.items()]
        pd.concat(tables).to_parquet(folder / "predictions.parquet", index=False)
        found = _found(answers, grouped.folds, settings.seed)
        write_json(folder / "leak.json", found)
        _record(settings, experiment, key, found)
    remove(work)


def _found(answers: dict[str, pd.DataFrame], folds: int, seed: int) -> dict[str, Any]:
    return {
        "folds": folds,
        "groups": int(answers["grouped"]["group"].nunique()),
        "clips": len(answers["grouped"]),
        **{name: asdict(bootstrap.interval(rows, "macro_f1", seed)) for name, rows in answers.items()},
        "gap": asdict(_gap(answers, seed)),
    }


def _grouped(good: pd.DataFrame, settings: Params) -> tuple[Split, pd.DataFrame]:
    """The grouped split with the most folds that the groups allow, at most MOST_FOLDS: the scores of many folds
    come from all clips. Where they allow no folds, a single split."""
    asked = settings.split.model_copy(update={"protocol": "grouped"})
    counts = [asked.folds] if asked.folds > 1 else [*range(MOST_FOLDS, 2, -1), 1]
    for folds in counts:
        own = asked.model_copy(update={"folds": folds})
        try:
            return own, split(good, own, settings.seed)
        except SplitError:
            if folds == counts[-1]:
                raise
    raise AssertionError("the last count returns or raises")


def _answers(
    settings: Params, experiment: Experiment, table: pd.DataFrame, rows: pd.DataFrame, work: Path
) -> pd.DataFrame:
    """Test predictions over all folds of a split, from models that are not kept."""
    from pipeline.training.ensemble import save_trial, train_trial  # torch takes seconds to import

    files = []
    for fold in sorted(rows["fold"].unique()):
        folder = work / f"fold{fold}"
        files.append(folder / "test.parquet")
        if files[-1].exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        trial = Trial(int(fold), settings.seed)
        data = splits.load(experiment, settings.window, table, rows, trial.fold)
        deal = partial(splits.inner_folds, experiment, data, settings.window, table, trial.seed)
        checkpoints = folder / "checkpoints"
        found = train_trial(experiment, data, deal, trial.seed, checkpoints, paths.embeddings(), no_callback)
        save_trial(found, data, folder)
        answers = predictions(folder / "model.onnx", data, experiment.training, trial)
        with whole(files[-1]) as file:
            metrics.of_part(answers, "test").to_parquet(file, index=False)
    return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)


def _gap(answers: dict[str, pd.DataFrame], seed: int) -> Interval:
    """How much higher the score is with the groups ignored, on the same clips."""
    (pair,) = bootstrap.compare(answers, seed)
    if pair.better == "random":
        return pair.difference
    return Interval(-pair.difference.value, -pair.difference.high, -pair.difference.low)


def _record(settings: Params, experiment: Experiment, key: str, found: dict[str, Any]) -> None:
    """A run of its own, whose metrics have names that no table of models mistakes for scores."""
    tags = {**tracking.lineage(clips.source(clips.read())), "leaky": f"the random score: {LEAKY['random']}"}
    with tracking.run(settings.tracking.experiment, f"leak {key}", None, tags) as run:
        run.log_params(run_logging.trained_with(experiment, settings.window, Trial(0, settings.seed)))
        run.log_params({"split.folds": found["folds"]})
        for name in ("grouped", "random", "gap"):
            interval = found[name]
            run.log_metrics({f"leak_{name}_{end}": value for end, value in interval.items()})


if __name__ == "__main__":
    main(leak, "key")
