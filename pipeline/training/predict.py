"""What a trained model answers for the clips of valid and test."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from pipeline.config.training import Training
from pipeline.models.exported import Exported
from pipeline.training.dataset import Array, Batch
from pipeline.training.splits import Splits
from pipeline.training.trials import Trial

Probabilities = np.ndarray[Any, np.dtype[np.float64]]
Run = Callable[[Sequence[Array]], np.ndarray[Any, np.dtype[np.floating[Any]]]]
"""(B, labels) probabilities from one array per feature."""

VALID = "valid.parquet"
"""Beside the graph of an ensemble: clip_id and ``p:<label>``, each clip's by members that did not learn from it."""
POWERS = "fusion.json"
"""Beside the graph of a fusion: ``powers`` of its branches, and ``without``, the same by branch left out."""


def predictions(model: Path, data: Splits, settings: Training, trial: Trial) -> pd.DataFrame:
    """One row per clip: clip_id, group, fold, seed, part, label, the predicted label, and ``p:<label>``.

    A clip's probabilities are the means over its windows. For the clips of valid an ensemble does not speak itself, for
    it has learned from them: their probabilities stand beside it.
    """
    run, kept = Exported(model, settings.threads), model.with_name(VALID)
    held = pd.read_parquet(kept) if kept.exists() else None
    return pd.concat(
        [
            part_answers(run, data, "valid", settings, trial) if held is None else _told(held, data, trial),
            part_answers(run, data, "test", settings, trial),
        ],
        ignore_index=True,
    )


def part_answers(run: Run, data: Splits, part: str, settings: Training, trial: Trial) -> pd.DataFrame:
    """As :func:`predictions`, of one part."""
    windows = data.windows[part]
    batches = tqdm(windows.batches(settings.batch_size), part, unit="batch", dynamic_ncols=True)
    return rows(averaged(run, batches, len(windows), len(data.labels)), data, part, trial)


def _told(held: pd.DataFrame, data: Splits, trial: Trial) -> pd.DataFrame:
    return rows(
        held.set_index("clip_id").loc[data.clips["valid"]["clip_id"]].to_numpy(), data, "valid", trial
    )


def rows(probabilities: Probabilities, data: Splits, part: str, trial: Trial) -> pd.DataFrame:
    """Of what a model answers for a part's clips, the table that :func:`predictions` gives."""
    table = data.clips[part][["clip_id", "group", "part", "label"]].copy()
    table.insert(2, "fold", trial.fold)
    table.insert(3, "seed", trial.seed)
    table["predicted"] = np.array(data.labels)[probabilities.argmax(axis=1)]
    return table.join(pd.DataFrame(probabilities, columns=[f"p:{label}" for label in data.labels]))


def averaged(
    run: Callable[[Sequence[Array]], Array], batches: Iterable[Batch], clips: int, labels: int
) -> Probabilities:
    """(clips, labels): means over the windows of each clip."""
    summed, counts = np.zeros((clips, labels)), np.zeros((clips, 1))
    for batch in batches:
        np.add.at(summed, batch.clips, run(batch.inputs))
        np.add.at(counts, batch.clips, 1)
    return summed / counts
