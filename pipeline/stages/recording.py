"""What of an experiment goes into its MLflow run, for ``train`` and for a run that is made anew from files."""

from typing import Any

import numpy as np
import pandas as pd

from pipeline import paths, tracking
from pipeline.files import read_json
from pipeline.models.exported import Exported
from pipeline.params import Experiment, Params
from pipeline.training.parts import Parts

EXAMPLE_CLIPS = 2


def described(settings: Params, experiment: Experiment) -> dict[str, Any]:
    """The params that decide the run's result."""
    features = settings.features.model_dump()
    return tracking.flat(
        {
            "seed": settings.seed,
            "model": experiment.model.model_dump(),
            "features": "+".join(experiment.features),
            "window": settings.window.model_dump(),
            "training": experiment.training.model_dump(),
            "sample_rate": settings.features.sample_rate,
            **{kind: features[kind] for kind in experiment.features},
            "split": settings.split.model_dump(),
        }
    )


def examples(data: Parts) -> dict[str, np.ndarray[Any, Any]]:
    """A small batch of the model's inputs by feature, from the training part."""
    windows = data.windows["train"]
    pairs = np.stack([np.arange(EXAMPLE_CLIPS), np.zeros(EXAMPLE_CLIPS, dtype=np.int64)], axis=1)
    return dict(zip(data.kinds, (values.numpy() for values in windows[pairs].inputs), strict=True))


def model(run: tracking.Run, key: str, data: Parts) -> None:
    """The exported model, its size and its training time."""
    folder = paths.MODELS / key
    spec = read_json(folder / "spec.json")
    inputs = examples(data)
    output = Exported(folder / "model.onnx", threads=1)(list(inputs.values()))
    run.log_metrics({"train_time_s": spec["train_seconds"], "parameters": spec["parameters"]})
    run.log_model(folder / "model.onnx", inputs, output)


def restore(run: tracking.Run, key: str, data: Parts, settings: Params, experiment: Experiment) -> None:
    """All that ``train`` logged, from the files it left."""
    run.log_params(described(settings, experiment))
    for row in pd.read_csv(paths.HISTORY / f"{key}.csv").to_dict("records"):
        epoch = int(row.pop("epoch"))
        run.log_epoch(epoch, row)
    model(run, key, data)
