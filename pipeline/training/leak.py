"""What leaking groups would claim: an experiment trained with its groups respected, and again with them ignored."""

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.base.files import atomic_write
from pipeline.config.data import Split
from pipeline.config.experiment import Experiment
from pipeline.config.project import BaseParams
from pipeline.data import split
from pipeline.data.split import SplitError
from pipeline.evaluation import bootstrap, metrics
from pipeline.training import no_callback, splits
from pipeline.training.predict import predictions
from pipeline.training.trials import Trial

MOST_FOLDS = 5


def both_splits(good: pd.DataFrame, asked: Split, seed: int) -> dict[str, pd.DataFrame]:
    """``grouped`` and ``random`` splits of the same clips, with the same number of folds.

    Raises:
        SplitError: a label has too few groups for a grouped split.
    """
    grouped, rows = _grouped(good, asked.model_copy(update={"protocol": "grouped", "folds": 1}), seed)
    random = grouped.model_copy(update={"protocol": "random"})
    return {"grouped": rows, "random": split.split(good, random, seed)}


def _grouped(good: pd.DataFrame, asked: Split, seed: int) -> tuple[Split, pd.DataFrame]:
    """With the folds asked for; else as many as the groups allow, up to MOST_FOLDS, since many folds score all clips."""
    counts = range(MOST_FOLDS, 2, -1) if asked.test_folds == 1 else []
    for folds in counts:
        own = asked.model_copy(update={"test_folds": folds})
        with suppress(SplitError):
            return own, split.split(good, own, seed)
    return asked, split.split(good, asked, seed)


def predicted(
    settings: BaseParams, experiment: Experiment, table: pd.DataFrame, rows: pd.DataFrame, work: Path, embeddings: Path
) -> pd.DataFrame:
    """Test predictions over all folds of a split (``rows``). The models are not delivered.

    Args:
        work: checkpoints and finished folds; where it holds some, training goes on from there.
    """
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
        found = train_trial(experiment, data, trial.seed, folder / "checkpoints", embeddings, no_callback)
        save_trial(found, data, folder)
        answers = predictions(folder / "model.onnx", data, experiment.training, trial)
        with atomic_write(files[-1]) as file:
            metrics.of_part(answers, "test").to_parquet(file, index=False)
    return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)


def gap(answers: dict[str, pd.DataFrame], seed: int) -> dict[str, Any]:
    """Macro F1 of the ``grouped`` and the ``random`` predictions, and the gap between them, with 95 % intervals."""
    grouped, random = answers["grouped"], answers["random"]
    return {
        "folds": int(grouped["fold"].nunique()),
        "groups": int(grouped["group"].nunique()),
        "clips": len(grouped),
        **{name: asdict(bootstrap.interval(rows, "macro_f1", seed)) for name, rows in answers.items()},
        "gap": asdict(bootstrap.difference(random, grouped, seed)),
    }
