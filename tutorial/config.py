"""tutorial/params.yaml: the tutorial's models with its own settings. All else is read from the pipeline's params.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, model_validator

from pipeline import config
from pipeline.config.base import ParamsError, Section, is_section, merged
from pipeline.config.check import check
from pipeline.config.experiment import Experiment, Fusion, inheriting
from pipeline.config.features import ALIGNED
from pipeline.config.load import read_yaml
from pipeline.config.models import Transfer
from pipeline.config.project import Params
from tutorial import paths


@dataclass(frozen=True)
class Tutorial:
    shared: Params
    """The pipeline's params."""
    experiments: Mapping[str, Experiment]
    """Each has the name of the pipeline's experiment that it is compared with."""


class _File(Section):
    training: dict[str, Any] = Field(default_factory=dict)
    """Replaces the pipeline's defaults."""
    experiments: dict[str, Experiment]

    @model_validator(mode="before")
    @classmethod
    def _experiments_inherit_training(cls, raw: Any) -> Any:
        return inheriting(raw)


def load() -> Tutorial:
    """
    Raises:
        ParamsError: one of the two files is wrong, or a model is compared with no experiment, has no weights, or has no
            curves to show.
    """
    shared = config.load()
    return parse(read_yaml(paths.PARAMS, "the checkout's top folder"), shared)


def parse(raw: Any, shared: Params) -> Tutorial:
    """As :func:`load`, from what YAML gave."""
    if isinstance(raw, dict) and is_section(raw, "training"):
        raw = {**raw, "training": merged(shared.training, raw["training"])}
    found = check(raw, _File, paths.PARAMS.as_posix())
    try:
        for key, own in found.experiments.items():
            shared.check_has("experiments", key)
            shared.check_experiment(f"experiments.{key}", own)
            _check_curves(f"experiments.{key}", own)
    except ValueError as error:
        raise ParamsError(f"{paths.PARAMS} has a problem: {error}") from None
    return Tutorial(shared, found.experiments)


def _check_curves(place: str, experiment: Experiment) -> None:
    """The page shows curves, and the stage depends on these kinds of feature alone."""
    others = [kind for kind in experiment.features if kind not in ALIGNED]
    if others:
        raise ValueError(f"{place}.features: the tutorial takes some of {list(ALIGNED)}, not {others[0]!r}")
    model = experiment.model
    closed = isinstance(model, Transfer) and model.closed_form
    if closed or isinstance(model, Fusion) or experiment.training.ensemble_size > 1:
        raise ValueError(
            f"{place}: the page shows the curves of one network trained by epochs: leave out shrinkage, fusion and members"
        )
