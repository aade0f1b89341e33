"""One experiment: features, a model, and how it is trained."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import ParamsError, Section, is_section, merged
from pipeline.config.check import check
from pipeline.config.features import Form
from pipeline.config.models import (
    Cnn,
    Lda,
    LogReg,
    Majority,
    Mlp,
    ModelSection,
    Multimodal,
    Pretrained,
    Transfer,
    ZeroShot,
)
from pipeline.config.training import Training


class Fusion(ModelSection):
    """Models trained on their own; the weight of each one's answer is fitted on validation."""

    name: Literal["fusion"]
    branches: Annotated[dict[str, "Experiment"], Field(min_length=2)]
    """Each is an experiment; it inherits the fusion's ``training``."""

    @model_validator(mode="after")
    def _branches_are_no_fusions(self) -> Self:
        for name, branch in self.branches.items():
            if isinstance(branch.model, Fusion):
                raise ValueError(f"branches.{name}: a branch cannot be a fusion itself")
        return self

    def check_inputs(self, kinds: Sequence[str], forms: Mapping[str, Form]) -> None:
        used = {kind for branch in self.branches.values() for kind in branch.features}
        if sorted(used) != sorted(kinds):
            raise ValueError(f"the branches take {sorted(used)}, not {list(kinds)}")
        for branch in self.branches.values():
            branch.model.check_inputs(branch.features, forms)


Model = Annotated[
    Majority | LogReg | Lda | Mlp | Cnn | Transfer | ZeroShot | Multimodal | Fusion, Field(discriminator="name")
]


class Experiment(Section):
    features: Annotated[list[str], Field(min_length=1)]
    """Kinds of feature, as the section ``features`` names them."""
    model: Model
    training: Training

    @model_validator(mode="after")
    def _ensembles_are_inside_a_fusion(self) -> Self:
        if isinstance(self.model, Fusion) and self.training.ensemble_size > 1:
            raise ValueError("training.ensemble_size: a fusion is no ensemble itself; set it in its branches")
        return self

    @model_validator(mode="after")
    def _samples_are_not_augmented(self) -> Self:
        tuned = isinstance(self.model, Transfer) and not self.model.frozen
        if tuned and "waveform" in self.features and (self.training.mixup or any(dict(self.training.augment).values())):
            raise ValueError("training.mixup and training.augment are of spectrograms: with waveform set them to 0")
        return self


def backbones(experiment: Experiment) -> list[str]:
    """Names of the pre-trained weights that it uses."""
    models = [part.model for part in branches(experiment)]
    return [name for model in models if isinstance(model, Pretrained) for name in model.backbones]


def branches(experiment: Experiment) -> list[Experiment]:
    """The branches of a fusion, else the experiment itself."""
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
        branches = {name: _inheriting(training, branch) for name, branch in block["model"]["branches"].items()}
        filled["model"] = {**block["model"], "branches": branches}
        # an ensemble is inside a fusion's branches
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
