"""An experiment's trials, one training per fold of the split and seed, and what each leaves beside its model.

Beside folds there is a refit: the model that is tested and delivered, trained on all clips outside test.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.base.files import write_json
from pipeline.config.base import ParamsError, Section
from pipeline.config.experiment import Experiment, backbones, branches
from pipeline.config.features import Window
from pipeline.config.load import read
from pipeline.config.project import BaseParams
from pipeline.config.training import Training

SPEC = "spec.json"


@dataclass(frozen=True)
class Trial:
    fold: int
    seed: int
    refit: bool = False

    @property
    def name(self) -> str:
        """Folder of what it leaves, and its name in MLflow beside other trials."""
        return f"{'refit' if self.refit else 'fold'}{self.fold}-seed{self.seed}"


def trials(settings: BaseParams, split: pd.DataFrame) -> list[Trial]:
    seeds = settings.seeds or [settings.seed]
    compared = set(split.loc[split["part"] == "valid", "fold"])
    return [
        Trial(fold, seed, fold not in compared) for fold in sorted(split["fold"].unique().tolist()) for seed in seeds
    ]


def last_score(histories: Iterable[pd.DataFrame], training: Training) -> str:
    """Validation macro F1 at the end, a mean over folds and seeds; nothing where only the evaluation tells it."""
    last = [one["valid_macro_f1"].iloc[-1] for one in histories if len(one) and not training.monitor]
    return f"validation macro F1 {pd.Series(last).mean():.3f}" if last and training.ensemble_size == 1 else ""


class Spec(Section):
    """What a trained model is. It is read from here and not from params.yaml, which may have changed."""

    run_id: str
    """Of the MLflow run that trained it."""
    fold: int
    refit: bool = False
    seed: int
    labels: list[str]
    """In the order of the model's outputs."""
    experiment: Experiment
    """As it was trained: with the device and precision that ``auto`` stood for."""
    window: Window
    parameters: int
    """Those that were trained."""
    device: str
    train_seconds: float

    @property
    def trial(self) -> Trial:
        return Trial(self.fold, self.seed, self.refit)

    @property
    def description(self) -> str:
        return description(self.experiment)

    @property
    def precision(self) -> str:
        """Lightning's name; several where the branches of a fusion differ."""
        return ", ".join(sorted({part.training.precision for part in branches(self.experiment)}))

    def write(self, folder: Path) -> None:
        write_json(folder / SPEC, self.model_dump())


def description(experiment: Experiment) -> str:
    """``cnn on spectrogram``, ``transfer (mobilenet_v2) on spectrogram``"""
    pretrained = f" ({' + '.join(names)})" if (names := backbones(experiment)) else ""
    return f"{experiment.model.name}{pretrained} on {' + '.join(experiment.features)}"


def specs(folder: Path) -> list[Spec]:
    """Those of all trials in an experiment's folder of models, by fold and seed.

    Raises:
        ParamsError: there are none, or one is of another version of this package.
    """
    found = [spec(file.parent) for file in folder.glob(f"*/{SPEC}")]
    if not found:
        raise ParamsError(f"{folder} holds no trained model: `dvc repro train@{folder.name}`, or `dvc pull`")
    return sorted(found, key=lambda one: (one.fold, one.seed))


def spec(folder: Path) -> Spec:
    return read(folder / SPEC, Spec)


def summary(models: list[Spec]) -> dict[str, str | float]:
    """What reports say of an experiment's training."""
    first = models[0]
    return {
        "model": first.experiment.model.name,
        "description": first.description,
        "device": first.device,
        "precision": first.precision,
        "train_seconds": sum(one.train_seconds for one in models),
        "parameters": first.parameters,
    }
