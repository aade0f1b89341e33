"""Logging of experiments to MLflow: by ``train``, and again from files for runs that the store has lost.

A single training is one run. With folds or seeds a parent run has the aggregates, and each trial a run below it.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import tracking
from pipeline.base import paths
from pipeline.config.experiment import Experiment
from pipeline.config.features import Window
from pipeline.config.project import BaseParams
from pipeline.data import clips, split
from pipeline.features.store import Store
from pipeline.models.exported import Exported
from pipeline.training.splits import Splits, examples
from pipeline.training.trials import Spec, Trial, spec, trials


@contextmanager
def open_run(
    settings: BaseParams, name: str, run_id: str | None = None, parent: str | None = None
) -> Iterator[tracking.Run]:
    """A new run, or the known one continued, with the tags that say what it was made from."""
    rows = split.read()
    tags = {**tracking.lineage(clips.source(clips.read())), "split.protocol": split.protocol(rows)}
    if warning := split.leaky(rows):
        tags["leaky"] = warning
    with tracking.run(settings.tracking.experiment, name, run_id, tags, parent) as run:
        yield run


def trial(
    settings: BaseParams, key: str, run: tracking.Run, one: Trial, run_id: str | None
) -> AbstractContextManager[tracking.Run]:
    """The run of one trial: the experiment's own where there is only one."""
    if len(trials(settings)) == 1:
        return nullcontext(run)
    return open_run(settings, f"{key} {one.name}", run_id, run.id)


def trial_params(experiment: Experiment, window: Window, one: Trial) -> dict[str, Any]:
    """Everything that decides a trial's result: its params, and those of its features and split."""
    return training_params(experiment, window, one) | split_params(one.fold)


def training_params(experiment: Experiment, window: Window, one: Trial) -> dict[str, Any]:
    """As :func:`described`, without the split."""
    specs = {kind: Store(paths.FEATURES / kind).spec for kind in experiment.features}
    (rates, *_) = [{name: spec[name] for name in ("sample_rate",) if name in spec} for spec in specs.values()]
    return tracking.flat(
        {
            "seed": one.seed,
            "fold": one.fold,
            "model": experiment.model.model_dump(),
            "features": "+".join(experiment.features),
            "window": window.model_dump(),
            "training": experiment.training.model_dump(),
            **rates,
            **{kind: spec.get("params", {}) for kind, spec in specs.items()},
        }
    )


def split_params(fold: int) -> dict[str, Any]:
    """The protocol, and the number of clips in each part of this fold."""
    rows = split.read()
    sizes = rows.loc[rows["fold"] == fold, "part"].value_counts()
    return {
        "split.protocol": split.protocol(rows),
        "split.folds": int(rows["fold"].nunique()),
        **{f"clips.{part}": int(sizes[part]) for part in split.PARTS},
    }


def model(run: tracking.Run, folder: Path, about: Spec, data: Splits) -> None:
    """A trial's exported model, its size, its training time and what it was trained on."""
    inputs = examples(data)
    output = Exported(folder / "model.onnx", threads=1)(list(inputs.values()))
    run.log_metrics({"train_time_s": about.train_seconds, "parameters": about.parameters})
    run.set_tags({"device": about.device, "precision": about.precision})
    run.log_model(folder / "model.onnx", inputs, output)


def restore(run: tracking.Run, key: str, one: Trial, data: Splits) -> None:
    """All that ``train`` logged of a trial, from the files it left."""
    folder = paths.MODELS / key / one.name
    about = spec(folder)
    run.log_params(trial_params(about.experiment, about.window, one))
    for row in history(key, one).drop(columns=["fold", "seed"]).to_dict("records"):
        run.log_epoch(int(row.pop("epoch")), row)
    model(run, folder, about, data)


def history(key: str, one: Trial) -> pd.DataFrame:
    """A trial's rows of ``history/<key>.csv``."""
    table = pd.read_csv(paths.HISTORY / f"{key}.csv")
    return table[(table["fold"] == one.fold) & (table["seed"] == one.seed)]
