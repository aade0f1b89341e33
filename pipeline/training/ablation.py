"""Test predictions of a fusion without each of its branches; the others have the weights that validation gave them then."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pipeline.config.training import Training
from pipeline.evaluation.ablation import FUSION
from pipeline.files import read_json
from pipeline.models.exported import EACH, Exported
from pipeline.training.pooling import Array, pooled
from pipeline.training.predict import POWERS, averaged, rows
from pipeline.training.splits import Parts
from pipeline.training.trials import Trial


def answers(folder: Path, data: Parts, settings: Training, trial: Trial) -> dict[str, pd.DataFrame]:
    """Of one trial: those of the fusion (FUSION), and by branch those without it.

    Args:
        folder: of the trial's model.
    """
    run = Exported(folder / "model.onnx", settings.threads, EACH)
    windows, known = data.windows["test"], read_json(folder / POWERS)
    by_branch = [
        batch._replace(inputs=(run(batch.inputs),)) for batch in windows.batches(settings.batch_size)
    ]
    found = {}
    for name, powers in {FUSION: known["powers"], **known["without"]}.items():

        def pool(inputs: Sequence[Array], powers: Sequence[float] = powers) -> Array:
            return pooled(inputs[0], powers)

        probabilities = averaged(pool, by_branch, len(windows), len(data.labels))
        found[name] = rows(probabilities, data, "test", trial)
    return found
