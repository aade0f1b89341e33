"""A trained model's predictions for the clips of valid and test, and the pooling weights of a fusion's branches.

A fusion's probabilities are the product of the branches', each raised to its weight (:mod:`pipeline.models.fusion`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax
from tqdm import tqdm

from pipeline.config.training import Training
from pipeline.models import MIN_PROBABILITY
from pipeline.models.exported import Exported
from pipeline.training.dataset import Probabilities, Run, averaged
from pipeline.training.splits import Splits
from pipeline.training.trials import Trial

FUSION_FILE = "fusion.json"
"""Beside a fusion's graph: ``pooling_weights`` of its branches, and ``without``, the same by branch left out."""
LEARNED = "learned.parquet"
"""Beside a fold's graph: its answers to some of its training clips, see :func:`pipeline.data.split.learned_by`."""
MAX_WEIGHT = 5.0
"""Of a branch: where every one of a few clips is right, the likelihood rises without end."""


def predictions(model: Path, data: Splits, settings: Training, trial: Trial) -> pd.DataFrame:
    """One row per clip of valid and test: clip_id, group, fold, seed, part, label, the predicted label, and ``p:<label>``.

    A clip's probabilities are the means over its windows.
    """
    run, parts = Exported(model, settings.threads), [part for part in ("valid", "test") if part in data.windows]
    return pd.concat([part_answers(run, data, part, settings, trial) for part in parts], ignore_index=True)


def part_answers(run: Run, data: Splits, part: str, settings: Training, trial: Trial) -> pd.DataFrame:
    """As :func:`predictions`, of one part."""
    windows = data.windows[part]
    batches = tqdm(windows.batches(settings.batch_size), part, unit="batch", disable=None, dynamic_ncols=True)
    return rows(averaged(run, batches, len(windows), len(data.labels)), data, part, trial)


def rows(probabilities: Probabilities, data: Splits, part: str, trial: Trial) -> pd.DataFrame:
    """The table of :func:`predictions` from a part's probabilities (clips, labels)."""
    table = data.clips[part][["clip_id", "group", "part", "label"]].copy()
    table.insert(2, "fold", trial.fold)
    table.insert(3, "seed", trial.seed)
    table["predicted"] = np.array(data.labels)[probabilities.argmax(axis=1)]
    return table.join(probability_table(probabilities, data.labels))


def probability_table(probabilities: Probabilities, labels: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(probabilities, columns=[f"p:{label}" for label in labels])


def pooled(log_probs: np.ndarray[Any, Any], weights: Sequence[float]) -> Probabilities:
    """Probabilities (B, labels) from the branches' log probabilities (B, branches, labels)."""
    return softmax(np.einsum("ijk,j->ik", log_probs, np.asarray(weights)), axis=1)


def fit_weights(log_probs: np.ndarray[Any, Any], targets: np.ndarray[Any, Any]) -> list[float]:
    """The weight of each branch that makes the labels most likely: a useless branch gets 0, an overconfident one less than 1.

    Args:
        log_probs: (clips, branches, labels), of clips that no branch was trained on.
    """
    from scipy.optimize import minimize

    def loss(weights: Any) -> float:
        right = pooled(log_probs, weights)[np.arange(len(targets)), targets]
        return float(-np.log(right.clip(MIN_PROBABILITY)).mean())

    branches = log_probs.shape[1]
    start, bounds = np.full(branches, 1 / branches), [(0, MAX_WEIGHT)] * branches
    return minimize(loss, start, method="L-BFGS-B", bounds=bounds).x.tolist()
