"""The lessons on pictures: the tutorials' nets are what the tutorials say, and all stages run on pictures."""

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from projects import covers
from torch import nn

from lessons.common.pictures import stages as own_stages
from lessons.common.pictures.config import Data, Params, load
from lessons.common.pictures.sources import shapes
from pipeline import config, models
from pipeline.base import paths
from pipeline.config.base import ParamsError
from pipeline.config.check import check
from pipeline.features import extract
from pipeline.models import Input
from pipeline.stages import command
from pipeline.workflow.dependencies import reached

PICTURES = ("sign-language", "animal-faces")
LESSONS = Path(__file__).parents[2] / "lessons"
BEFORE = ("download", "audit", "split", "features", "inputs")
AFTER = ("describe", "compare")
EACH = ("train", "evaluate")
PAGES = LESSONS.parent / "pipeline/reports/templates"
Ran = Callable[[str, Callable[[dict[str, Any]], object]], Path]


def module(stage: str) -> str:
    """The lessons' own stage, else the pipeline's."""
    own = f"{own_stages.__name__}.{stage}"
    return own if importlib.util.find_spec(own) else f"pipeline.stages.{stage}"


def run(stage: str, *keys: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["stages", stage, *keys])
        command.main(own_stages.__name__, load)


@pytest.fixture
def ran(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """``ran(lesson, change)``: the folder of a lesson all of whose stages have run, with changed params."""
    shutil.copy(empty_store, tmp_path)

    def repro(lesson: str, change: Callable[[dict[str, Any]], object]) -> Path:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        folder = tmp_path / "lessons" / lesson
        folder.mkdir(parents=True)
        (tmp_path / paths.TOP).parent.mkdir(parents=True)
        (tmp_path / paths.TOP).touch()
        monkeypatch.setenv("DVC_ROOT", str(folder))
        shutil.copytree(LESSONS / lesson / "data/sources", folder / "data/sources", symlinks=True)
        content = yaml.safe_load((LESSONS / lesson / "params.yaml").read_text())
        change(content)
        (folder / "params.yaml").write_text(yaml.safe_dump(content))
        monkeypatch.chdir(folder)
        for stage in BEFORE:
            run(stage)
        for key in content["experiments"]:
            for stage in EACH:
                run(stage, key)
        for stage in AFTER:
            run(stage)
        return folder

    return repro


def lesson(name: str) -> Params:
    return load(LESSONS / name / "params.yaml")


def built(name: str, key: str, classes: int) -> tuple[nn.Module, tuple[int, ...]]:
    """An experiment's net, and the shape of its input."""
    settings = lesson(name)
    image = settings.features.image
    shape = (image.channels, image.size, image.size)
    channels = np.ones(image.channels, np.float32)
    model = settings.experiments[key].model
    return models.load(model.name).build(model, [Input(shape, channels * 0.5, channels)], classes), shape


def layers(net: nn.Module) -> list[Any]:
    return [layer for layer in net.modules() if isinstance(layer, nn.Linear | nn.ReLU | nn.Sigmoid)]


def test_the_sign_language_net_is_the_tutorials() -> None:
    """784 -> 512 -> 512 -> 24, ReLU, 20 epochs of Adam on pixels from 0 to 1."""
    net, shape = built("sign-language", "mlp", 24)
    dense = [(layer.in_features, layer.out_features) for layer in layers(net) if isinstance(layer, nn.Linear)]
    assert dense == [(784, 512), (512, 512), (512, 24)]
    assert [type(layer) for layer in layers(net)][1::2] == [nn.ReLU, nn.ReLU]
    assert sum(p.numel() for p in net.parameters()) == 676_888
    assert net(torch.rand(2, *shape)).shape == (2, 24)
    training = lesson("sign-language").experiments["mlp"].training
    assert (training.epochs, training.optimizer, training.patience) == (20, "adam", None)
    assert lesson("sign-language").split.test == 0.25


def test_the_animal_net_is_the_tutorials() -> None:
    """150 x 150 x 3 -> 4 sigmoid -> 5 ReLU -> 3: no convolution in it, and all of a picture in four numbers."""
    net, shape = built("animal-faces", "tutorial", 3)
    assert shape == (3, 150, 150)
    dense = [(layer.in_features, layer.out_features) for layer in layers(net) if isinstance(layer, nn.Linear)]
    assert dense == [(67_500, 4), (4, 5), (5, 3)]
    assert [type(layer) for layer in layers(net)][1::2] == [nn.Sigmoid, nn.ReLU]
    assert not [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    assert sum(p.numel() for p in net.parameters()) == 270_047
    training = lesson("animal-faces").experiments["tutorial"].training
    found = (training.epochs, training.optimizer, training.learning_rate, training.batch_size)
    assert found == (5, "adam", 0.001, 20)


def test_one_step_of_adam_saturates_the_tutorials_sigmoid() -> None:
    """67,500 inputs that are all above 0 move together: a step of 0.001 each moves their sum by about 30."""
    torch.manual_seed(0)
    net, shape = built("animal-faces", "tutorial", 3)
    pictures = torch.rand(20, *shape)
    sums = nn.Sequential(nn.Flatten(), layers(net)[0])
    before = sums(pictures).abs().mean().item()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
    loss = nn.functional.cross_entropy(net(pictures), torch.arange(20) % 3)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    assert before < 2
    assert sums(pictures).abs().min().item() > 10


@pytest.mark.parametrize("name", PICTURES)
def test_every_net_of_a_lesson_sees_its_pictures(name: str) -> None:
    for key, experiment in lesson(name).experiments.items():
        if experiment.model.name != "transfer":
            net, shape = built(name, key, 3)
            assert net(torch.rand(2, *shape)).shape == (2, 3), key


@pytest.mark.parametrize("name", PICTURES)
def test_each_stage_depends_on_all_code_that_it_imports(name: str) -> None:
    stages = yaml.safe_load((LESSONS / name / "dvc.yaml").read_text())["stages"]
    settings = lesson(name)
    by_name = {
        "download": [f"lessons.common.pictures.sources.{settings.data.source.replace('-', '_')}"],
        "features": extract.modules(settings.features),
    }
    templates = {"describe": [PAGES, LESSONS / "common/pictures/templates"], "compare": [PAGES]}
    for stage, block in stages.items():
        own = block.get("do", block)
        assert own["cmd"].startswith(f"python -m {own_stages.__name__} {stage}")
        imported = reached(f"{own_stages.__name__}.__main__", module(stage), *by_name.get(stage, []))
        covers(LESSONS / name, own["deps"], imported, templates.get(stage, []))


def test_digits_through_all_stages(ran: Ran) -> None:
    def fewer(content: dict[str, Any]) -> None:
        content["experiments"] = {"mlp": {**content["experiments"]["mlp"], "training": {"epochs": 3}}}

    folder = ran("sign-language", fewer)
    scores = json.loads((folder / "evaluation/mlp/scores.json").read_text())
    assert scores["test_accuracy"] > 0.8
    page = (folder / "reports/comparison.html").read_text()
    assert "mlp on image" in page
    assert "handwritten digits, a substitute (1797)" in page
    assert "20 pictures drawn at random" in (folder / "reports/data.html").read_text()
    split = pd.read_parquet(folder / paths.SPLIT).merge(pd.read_parquet(folder / paths.CLIPS), on="clip_id")
    assert (split.groupby("group")["part"].nunique() == 1).all()
    assert (split["part"].value_counts(normalize=True)["test"] - 0.25) < 0.01
    assert (folder.parents[1] / "mlflow.db").exists(), "runs of lessons are in the store of the checkout"
    assert not (folder / "mlflow.db").exists()


def test_a_bad_picture_among_good_ones_stops_nothing(ran: Ran, tmp_path: Path) -> None:
    def own(content: dict[str, Any]) -> None:
        content["data"]["source"] = "pictures"
        content["features"]["image"]["size"] = 16
        content["experiments"] = {"tutorial": content["experiments"]["tutorial"]}
        folder = tmp_path / "lessons/animal-faces/data/pictures"
        folder.mkdir()
        shapes.fetch(folder, folder, Data(source="shapes"), 7)
        (folder / "circle/bad.jpg").write_text("no picture")

    folder = ran("animal-faces", own)
    assert (
        "| data/pictures/circle/bad.jpg | cannot be decoded: not a picture that Pillow reads |"
        in (folder / paths.AUDIT).read_text()
    )
    assert "cannot be decoded" in (folder / "reports/comparison.html").read_text()
    assert len(pd.read_csv(folder / "features/image/index.csv")) == 3 * 80


def raw(name: str = "sign-language") -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((LESSONS / name / "params.yaml").read_text(encoding="utf-8"))
    return content


def test_pictures_have_params_of_their_own() -> None:
    read = check(raw(), Params, "params.yaml")
    assert read.window.frames == 1
    assert read.features.kinds == ["image"]
    with pytest.raises(ParamsError, match=r"features\.tabular: Field required"):
        config.parse(raw())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": {"image": {"size": 28}}}, "features.image.channels: Field required"),
        ({"features": {"imag": {"size": 28, "channels": 1}}}, "did you mean 'image'?"),
        ({"audit": {"min_side": 8, "max_pixels": 10**9, "min_clips": 5}}, "audit.max_pixels"),
        ({"data": {"source": "sign_mnist"}}, "data.source"),
        ({"medium": "picture"}, "medium: remove it"),
        ({"tutorial": {}}, "tutorial: it is now in tutorial/params.yaml"),
    ],
)
def test_a_wrong_param_of_pictures_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError) as caught:
        check({**raw(), **change}, Params, "params.yaml")
    assert message in str(caught.value)


def test_features_of_sound_are_refused() -> None:
    content = raw()
    content["experiments"]["cnn"]["features"] = ["spectrogram"]
    with pytest.raises(ParamsError, match=r"experiments\.cnn\.features: there is no 'spectrogram', only \['image'\]"):
        check(content, Params, "params.yaml")
