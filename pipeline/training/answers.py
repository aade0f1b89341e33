"""Predictions of an experiment's trained models, from what training left of them."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from pipeline.base.files import read_json
from pipeline.config.experiment import Fusion
from pipeline.data.split import test_fold_of
from pipeline.evaluation import calibration, metrics
from pipeline.evaluation.scores import FUSION
from pipeline.models.exported import LOG_PROBS, Exported
from pipeline.training import splits
from pipeline.training.dataset import Array, Probabilities, averaged
from pipeline.training.predict import FUSION_FILE, LEARNED, pooled, predictions, rows
from pipeline.training.splits import Splits
from pipeline.training.trials import Spec, specs


def data_of(model: Spec, table: pd.DataFrame, split: pd.DataFrame) -> Splits:
    """The data that a model was trained on."""
    return splits.load(model.experiment, model.window, table, split, model.fold)


def answers(folder: Path, table: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """Validation and test predictions of all trials in the folder of an experiment's models, with their test_fold, and the
    temperature fitted on all validation clips of that test fold and seed."""
    found = []
    for model in specs(folder):
        file = folder / model.trial.name / "model.onnx"
        found.append(predictions(file, data_of(model, table, split), model.experiment.training, model.trial))
    every = pd.concat(found, ignore_index=True)
    every.insert(every.columns.get_loc("fold") + 1, "test_fold", every["fold"].map(test_fold_of(split)))
    tempered = [
        own.assign(temperature=calibration.temperature(metrics.of_part(own, "valid")))
        for _, own in every.groupby(["test_fold", "seed"])
    ]
    return pd.concat(tempered, ignore_index=True)


def learned(folder: Path) -> pd.DataFrame:
    """Answers of the folds' models in the folder to clips that they were trained on; none where nothing is cross-validated."""
    files = [folder / one.trial.name / LEARNED for one in specs(folder)]
    found = [pd.read_parquet(file) for file in files if file.exists()]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["fold", "seed"])


def without_branches(folder: Path, table: pd.DataFrame, split: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Test predictions of a fusion over all trials (FUSION), and by branch those without it; empty for other models.

    Without a branch the others have the pooling weights fitted on validation without it.
    """
    found: dict[str, list[pd.DataFrame]] = {}
    for model in specs(folder):
        if not isinstance(model.experiment.model, Fusion):
            return {}
        trained, settings = folder / model.trial.name, model.experiment.training
        data, saved = data_of(model, table, split), read_json(trained / FUSION_FILE)
        if "test" not in data.windows:
            continue
        run, windows = Exported(trained / "model.onnx", settings.threads, LOG_PROBS), data.windows["test"]
        log_probs = [own._replace(inputs=(run(own.inputs),)) for own in windows.batches(settings.batch_size)]
        for name, weights in {FUSION: saved["pooling_weights"], **saved["without"]}.items():
            pool = partial(_pool, weights=weights)
            probabilities = averaged(pool, log_probs, len(windows), len(data.labels))
            found.setdefault(name, []).append(rows(probabilities, data, "test", model.trial))
    return {name: pd.concat(own, ignore_index=True) for name, own in found.items()}


def _pool(inputs: Sequence[Array], weights: Sequence[float]) -> Probabilities:
    return pooled(inputs[0], weights)
