"""What of an experiment goes into its MLflow runs, for ``train`` and for runs that are made anew from files.

A single training is one run. Over folds and seeds there is a parent run with the aggregates, and below it a run
for each trial.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import paths, tracking
from pipeline.files import read_json
from pipeline.models.exported import Exported
from pipeline.params import LEAKY, Experiment, Params, possible_kinds
from pipeline.training.parts import Parts, examples
from pipeline.training.trials import Trial, trials


@contextmanager
def opened(settings: Params, name: str, run_id: str | None, parent: str | None) -> Iterator[tracking.Run]:
    """A new run, or the known one continued, with the tags that say what it was made from."""
    protocol = settings.split.protocol
    tags = {**tracking.lineage(settings.data.source), "split.protocol": protocol}
    if protocol in LEAKY:
        tags["leaky"] = LEAKY[protocol]
    with tracking.run(settings.tracking.experiment, name, run_id, tags, parent) as run:
        yield run


@contextmanager
def trial(
    settings: Params, key: str, run: tracking.Run, one: Trial, run_id: str | None
) -> Iterator[tracking.Run]:
    """The run of one trial: the experiment's own where there is only one."""
    if len(trials(settings)) == 1:
        yield run
        return
    with opened(settings, f"{key} {one.name}", run_id, run.id) as child:
        yield child


def described(settings: Params, experiment: Experiment, one: Trial) -> dict[str, Any]:
    """The params that decide a trial's result."""
    unused = set(possible_kinds(settings.features)) - set(experiment.features)
    return tracking.flat(
        {
            "seed": one.seed,
            "fold": one.fold,
            "model": experiment.model.model_dump(),
            "features": "+".join(experiment.features),
            "window": settings.window.model_dump(),
            "training": experiment.training.model_dump(),
            **settings.features.model_dump(exclude=unused),
            "split": settings.split.model_dump(),
        }
    )


def model(run: tracking.Run, folder: Path, data: Parts) -> None:
    """A trial's exported model, its size, its training time and what it was trained on."""
    spec = read_json(folder / "spec.json")
    inputs = examples(data)
    output = Exported(folder / "model.onnx", threads=1)(list(inputs.values()))
    run.log_metrics({"train_time_s": spec["train_seconds"], "parameters": spec["parameters"]})
    run.set_tags({name: spec[name] for name in ("device", "precision")})
    run.log_model(folder / "model.onnx", inputs, output)


def restore(
    run: tracking.Run, key: str, one: Trial, data: Parts, settings: Params, experiment: Experiment
) -> None:
    """All that ``train`` logged of a trial, from the files it left."""
    run.log_params(described(settings, experiment, one))
    for row in history(key, one).drop(columns=["fold", "seed"]).to_dict("records"):
        epoch = int(row.pop("epoch"))
        run.log_epoch(epoch, row)
    model(run, paths.MODELS / key / one.name, data)


def history(key: str, one: Trial) -> pd.DataFrame:
    """A trial's rows of ``history/<key>.csv``."""
    table = pd.read_csv(paths.HISTORY / f"{key}.csv")
    return table[(table["fold"] == one.fold) & (table["seed"] == one.seed)]
