"""One experiment: features, a model, and how it is trained; and what it is made of."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import ParamsError, Section, is_section, merged
from pipeline.config.check import check
from pipeline.config.features import ALIGNED, WINDOWED, FeatureKind
from pipeline.config.models import Cnn, Lda, LogReg, Majority, Mlp, Multimodal, Transfer
from pipeline.config.training import Training


class Fusion(Section):
    """Models of their own, trained apart; on valid it is learned how much the answer of each counts."""

    name: Literal["fusion"]
    branches: Annotated[dict[str, "Experiment"], Field(min_length=2)]
    """Each as an experiment; of ``training`` it inherits what the fusion has."""


Model = Annotated[
    Majority | LogReg | Lda | Mlp | Cnn | Transfer | Multimodal | Fusion,
    Field(discriminator="name"),
]


class Experiment(Section):
    features: Annotated[list[FeatureKind], Field(min_length=1)]
    model: Model
    training: Training

    @model_validator(mode="after")
    def _model_fits_features(self) -> Self:
        name, given = self.model.name, self.features
        if name in ("majority", "logreg", "lda") and given != ["tabular"]:
            raise ValueError(f"features: model {name!r} works on [tabular], not on {given}")
        if name == "mlp" and given not in (["tabular"], ["image"]):
            raise ValueError(f"features: model 'mlp' works on [tabular] or [image], not on {given}")
        if name in ("cnn", "transfer") and (len(given) != 1 or given[0] not in (*WINDOWED, "image")):
            raise ValueError(
                f"features: model {name!r} works on one of {[*WINDOWED, 'image']}, not on {given}"
            )
        if name == "multimodal" and sorted(given) != sorted(ALIGNED):
            raise ValueError(f"features: model 'multimodal' fuses {list(ALIGNED)}, not {given}")
        if isinstance(self.model, Fusion):
            _check_branches(self.model.branches, given)
            if self.training.ensemble_size > 1:
                raise ValueError(
                    "training.ensemble_size: of a fusion its branches have members, not the whole"
                )
        return self


def _check_branches(branches: dict[str, Experiment], given: list[FeatureKind]) -> None:
    for name, branch in branches.items():
        if isinstance(branch.model, Fusion):
            raise ValueError(f"model.branches.{name}: a branch is no fusion itself")
    heard = {kind for branch in branches.values() for kind in branch.features}
    if heard != set(given) or len(given) != len(heard):
        raise ValueError(f"features: the branches work on {sorted(heard)}, not on {given}")


def backbones(experiment: Experiment) -> list[str]:
    """The weights that it is made of."""
    models = [part.model for part in branches(experiment)]
    return [name for model in models if isinstance(model, Transfer) for name in model.backbones]


def branches(experiment: Experiment) -> list[Experiment]:
    """The experiment itself, or the branches it is made of."""
    return list(experiment.model.branches.values()) if isinstance(experiment.model, Fusion) else [experiment]


def at(experiment: Experiment, key: str) -> Any:
    """The value at a dotted key of the experiment."""
    value = experiment.model_dump()
    for part in key.split("."):
        value = value[part]
    return value


def inheriting(raw: Any) -> Any:
    """The params with each experiment's ``training`` filled up from the defaults in ``training``."""
    if not (isinstance(raw, dict) and is_section(raw, "training") and is_section(raw, "experiments")):
        return raw
    blocks = raw["experiments"].items()
    return {**raw, "experiments": {key: _inheriting(raw["training"], block) for key, block in blocks}}


def _inheriting(defaults: dict[str, Any], block: Any) -> Any:
    """The experiment with ``training`` filled up; what is no mapping is left for the check that follows."""
    own = (block.get("training") or {}) if isinstance(block, dict) else None
    if not isinstance(own, dict):
        return block
    training = merged(defaults, own)
    filled = {**block, "training": training}
    if is_section(block, "model") and is_section(block["model"], "branches"):
        branches = {
            name: _inheriting(training, branch) for name, branch in block["model"]["branches"].items()
        }
        filled["model"] = {**block["model"], "branches": branches}
        # defaults are about models of one part: of a fusion its branches have members
        filled["training"] = {**training, "ensemble_size": own.get("ensemble_size", 1)}
    return filled


def varied(experiment: Experiment, values: Mapping[str, Any], name: str) -> Experiment:
    """The experiment with other values at these dotted keys; ``name`` is for messages.

    Raises:
        ParamsError: a key is unknown, or the values are impossible.
    """
    block = experiment.model_dump()
    for key, value in values.items():
        section = block
        *above, last = key.split(".")
        for part in above:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise ParamsError(f"{name} has 1 problem(s):\n  {key}: there is nothing below {part!r}")
        section[last] = value
    return check(block, Experiment, name)
