"""Logging of experiments to MLflow: by ``train``, and again from files for runs that the store has lost.

A single training is one run. With folds or seeds a parent run has the aggregates, and each trial a run below it.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import models, tracking
from pipeline.base import paths
from pipeline.config.experiment import Experiment, Fusion
from pipeline.config.features import Window
from pipeline.config.project import BaseParams
from pipeline.data import clips, split
from pipeline.features.store import Store
from pipeline.models.exported import Exported
from pipeline.training.splits import Splits, examples
from pipeline.training.trials import Spec, Trial, description, spec, trials

MACHINE = {"accelerator", "threads", "precision", "devices", "nodes", "strategy", "channels_last"}
"""Keys of ``training`` that say how it is computed; the tags ``device`` and ``precision`` have what they came to."""


@contextmanager
def open_run(
    settings: BaseParams, name: str, kind: str, about: str, run_id: str | None = None, parent: str | None = None
) -> Iterator[tracking.Run]:
    """A new run, or the known one continued, with the tags that say what it is and what it was made from.

    Args:
        kind: see :data:`pipeline.tracking.runs.KIND`.
        about: the description of a new run, in Markdown; that of a known one is left as it is.
    """
    table, rows = clips.read(), split.read()
    tags = {**tracking.lineage(clips.source(table)), "split.protocol": split.protocol(rows), tracking.KIND: kind}
    if warning := split.leaky(rows):
        tags["leaky"] = warning
        about = f"{about} **Its scores are too optimistic**: {warning}."
    with tracking.run(settings.tracking.experiment, name, run_id, tags, parent, about) as run:
        if run.new:
            run.log_dataset(*tracking.dataset(clips.good(table)))
        yield run


def open_experiment(
    settings: BaseParams, key: str, experiment: Experiment, run_id: str | None
) -> AbstractContextManager[tracking.Run]:
    """The run of an experiment of params.yaml."""
    about = (
        f"Experiment `{key}` of params.yaml: {description(experiment)}. Models are compared by validation macro F1. "
        "The tab Artifacts has the learning curves, the confusion matrix of the test set, and the model's page."
    )
    return open_run(settings, key, tracking.EXPERIMENT, about, run_id)


def trial(
    settings: BaseParams, key: str, run: tracking.Run, one: Trial, run_id: str | None
) -> AbstractContextManager[tracking.Run]:
    """The run of one trial: the experiment's own where there is only one."""
    if len(trials(settings, split.read())) == 1:
        return nullcontext(run)
    part = "All clips outside test" if one.refit else f"Fold {one.fold}"
    about = f"{part}, seed {one.seed} of experiment `{key}`."
    return open_run(settings, f"{key} {one.name}", "trial", about, run_id, run.id)


def log_shared(settings: BaseParams, key: str, run: tracking.Run, experiment: Experiment) -> None:
    """Params of an experiment whose trials have runs of their own."""
    every = trials(settings, split.read())
    if run.new and len(every) > 1:
        params = training_params(key, experiment, settings.window, every[0])
        run.log_params({**params, "fold": "all", "seed": sorted({one.seed for one in every})})


def training_params(key: str, experiment: Experiment, window: Window, one: Trial) -> dict[str, Any]:
    """What decides a trial's result, apart from the data, by the names of params.yaml (``model`` is model.name).

    MLflow's compare page draws the first three params that differ, by alphabet: experiment, features, model, which all
    runs have.

    Left out is what has no effect: ``training`` of a model that is fitted in one step, ``training.augment`` where all of
    it is off, windows of other features.
    """
    specs = {kind: Store(paths.FEATURES / kind).spec for kind in experiment.features}
    (rates, *_) = [{name: spec[name] for name in ("sample_rate",) if name in spec} for spec in specs.values()]
    windows = {
        kind if kind in Window.model_fields else "frames": window.of(kind)
        for kind, spec in specs.items()
        if spec["windowed"]
    }
    every = tracking.flat(
        {
            "experiment": key,
            **_effective(experiment),
            "seed": one.seed,
            "fold": one.fold,
            "window": windows,
            **rates,
            **{kind: spec.get("params", {}) for kind, spec in specs.items()},
        }
    )
    return {name.removesuffix(".name"): value for name, value in every.items()}


def _effective(experiment: Experiment) -> dict[str, Any]:
    model, training = experiment.model, experiment.training.model_dump(exclude=MACHINE)
    described = model.model_dump(exclude_none=True)
    if isinstance(model, Fusion):
        described["branches"] = {name: _effective(branch) for name, branch in model.branches.items()}
    if isinstance(model, Fusion) or hasattr(models.load(model.name), "fit"):
        training = {"ensemble_size": training["ensemble_size"]} if training["ensemble_size"] > 1 else {}
    elif not any(training["augment"].values()):
        del training["augment"]
    # the compare page shows ten characters, by which spectrogram and spectrogram+wavelet would be the same
    features = "+".join(sorted(experiment.features, key=len))
    return {"features": features, "model": described, "training": training}


def model(run: tracking.Run, key: str, folder: Path, about: Spec, data: Splits) -> None:
    """A trial's exported model, and what it was trained on."""
    inputs = examples(data)
    output = Exported(folder / "model.onnx", threads=1)(list(inputs.values()))
    run.set_tags({"device": about.device, "precision": about.precision})
    run.log_model(key, folder / "model.onnx", inputs, output)


def restore(run: tracking.Run, key: str, one: Trial, data: Splits) -> None:
    """All that ``train`` logged of a trial, from the files it left."""
    folder = paths.MODELS / key / one.name
    about = spec(folder)
    run.log_params(training_params(key, about.experiment, about.window, one))
    for row in history(key, one).drop(columns=["fold", "seed"]).to_dict("records"):
        run.log_epoch(int(row.pop("epoch")), {name: value for name, value in row.items() if pd.notna(value)})
    model(run, key, folder, about, data)


def history(key: str, one: Trial) -> pd.DataFrame:
    """A trial's rows of ``history/<key>.csv``."""
    table = pd.read_csv(paths.HISTORY / f"{key}.csv")
    return table[(table["fold"] == one.fold) & (table["seed"] == one.seed)]
