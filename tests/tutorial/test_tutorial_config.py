"""tutorial/params.yaml: the tutorial's settings replace the pipeline's, and what is wrong is named with its key."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from projects import covers

from pipeline import config
from pipeline.config.base import ParamsError
from pipeline.workflow.dependencies import reached
from tutorial.config import Tutorial, parse

ROOT = Path(__file__).parents[2]
SHARED: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
OWN: dict[str, Any] = yaml.safe_load((ROOT / "tutorial/params.yaml").read_text(encoding="utf-8"))


def read(own: dict[str, Any], **training: Any) -> Tutorial:
    shared = {**SHARED, "training": SHARED["training"] | training}
    return parse(own, config.parse(shared))


def changed(*place: str, value: object) -> dict[str, Any]:
    own = copy.deepcopy(OWN)
    section = own["experiments"]
    for key in place[:-1]:
        section = section.setdefault(key, {})
    section[place[-1]] = value
    return own


def complaint(own: dict[str, Any]) -> str:
    with pytest.raises(ParamsError) as caught:
        read(own)
    return str(caught.value)


def test_each_model_is_compared_with_an_experiment() -> None:
    message = complaint({**OWN, "experiments": {"cnm": OWN["experiments"]["cnn"]}})
    assert "tutorial/params.yaml has a problem: experiments: 'cnm' is not among the experiments" in message
    assert "did you mean 'cnn'?" in message


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("transfer", "model", "backbone"), "mobilenet_v3", "'mobilenet_v3' is not among the weights"),
        (("cnn", "features"), ["tabular"], "experiments.cnn.features: model 'cnn' takes one of"),
        (("transfer", "model", "shrinkage"), 0.5, "hidden []"),
        (("cnn", "training"), {"ensemble_size": 4}, "experiments.cnn: the page shows the curves of one network"),
        (("cnn", "training"), {"epoch": 4}, "experiments.cnn.training.epoch: unknown key (did you mean 'epochs'?)"),
        (
            ("transfer", "model"),
            {"name": "transfer", "backbone": "mobilenet_v2", "frozen": True, "shrinkage": 0.5},
            "experiments.transfer: the page shows the curves of one network trained by epochs",
        ),
        (
            ("cnn",),
            {"features": ["tabular"], "model": {"name": "mlp", "hidden": [8], "dropout": 0.0}},
            "experiments.cnn.features: the tutorial takes some of",
        ),
    ],
)
def test_an_impossible_model_is_named(place: tuple[str, ...], value: object, message: str) -> None:
    assert message in complaint(changed(*place, value=value))


def test_the_models_inherit_the_defaults_that_the_tutorial_does_not_replace() -> None:
    for experiment in read(OWN, batch_size=5).experiments.values():
        assert experiment.training.batch_size == 5


def test_the_tutorials_settings_hold_whatever_the_defaults_are() -> None:
    augment = {"time_masks": 2, "time_width": 8, "band_masks": 2, "band_width": 8, "gain_db": 6.0}
    found = read(OWN, augment=augment, label_smoothing=0.1, ensemble_size=4, mixup=0.4)
    for own in (experiment.training for experiment in found.experiments.values()):
        assert (own.epochs, own.optimizer, own.learning_rate) == (500, "adam", 0.0001)
        assert (own.weight_decay, own.schedule, own.label_smoothing) == (0.0, "constant", 0.0)
        assert (own.patience, own.monitor, own.class_weights) == (None, None, False)
        assert (own.ensemble_size, own.mixup) == (1, 0.0)
        assert not any(own.augment.model_dump().values())


def test_each_stage_depends_on_all_code_that_it_imports() -> None:
    stages = yaml.safe_load((ROOT / "tutorial/dvc.yaml").read_text())["stages"]
    assert (ROOT / "tutorial/.pipeline").resolve() == ROOT / "pipeline"
    for stage, block in stages.items():
        own = block.get("do", block)
        assert own["cmd"].startswith(f"cd .. && python -m tutorial.stages {stage}")
        templates = [ROOT / "pipeline/reports/templates"] if stage == "report" else []
        imported = reached("tutorial.stages.__main__", f"tutorial.stages.{stage}")
        covers(ROOT / "tutorial", own["deps"], imported, templates)
