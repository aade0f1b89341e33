"""Predictions of an experiment's trained models, from what training left of them."""

from pathlib import Path

import pandas as pd

from pipeline.config.experiment import Fusion
from pipeline.evaluation import calibration, metrics
from pipeline.training import ablation, splits
from pipeline.training.predict import predictions
from pipeline.training.splits import Parts
from pipeline.training.trials import Spec, specs


def data_of(model: Spec, table: pd.DataFrame, split: pd.DataFrame) -> Parts:
    """The data that a model was trained on: see :func:`pipeline.training.splits.load`."""
    return splits.load(model.experiment, model.window, table, split, model.fold)


def answers(folder: Path, table: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """Validation and test predictions of all trials, each with the temperature fitted on its own validation clips.

    Args:
        folder: of the experiment's models, with a folder for each trial.
    """
    found = []
    for model in specs(folder):
        file = folder / model.trial.name / "model.onnx"
        rows = predictions(file, data_of(model, table, split), model.experiment.training, model.trial)
        found.append(rows.assign(temperature=calibration.temperature(metrics.of_part(rows, "valid"))))
    return pd.concat(found, ignore_index=True)


def without_branches(folder: Path, table: pd.DataFrame, split: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Of a fusion, test predictions over all trials as :func:`pipeline.training.ablation.answers`; else empty."""
    models = specs(folder)
    if not isinstance(models[0].experiment.model, Fusion):
        return {}
    found = [
        ablation.answers(
            folder / model.trial.name, data_of(model, table, split), model.experiment.training, model.trial
        )
        for model in models
    ]
    return {name: pd.concat([own[name] for own in found], ignore_index=True) for name in found[0]}
