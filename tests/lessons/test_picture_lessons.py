"""The lessons on pictures: the tutorials' nets are what the tutorials say, and all stages run on pictures."""

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import nn

from pipeline import config, models, paths
from pipeline.config.project import PictureParams
from pipeline.data.sources import shapes
from pipeline.models import Input
from pipeline.stages import code

PICTURES = ("sign-language", "animal-faces")
LESSONS = Path(__file__).parents[2] / "lessons"
BEFORE = ("code", "download", "audit", "split", "features")
AFTER = ("describe", "compare")
EACH = ("inputs", "train", "evaluate")
Ran = Callable[[str, Callable[[dict[str, Any]], object]], Path]


def run(stage: str, *arguments: str) -> None:
    getattr(importlib.import_module(f"pipeline.stages.{stage}"), stage)(*arguments)


@pytest.fixture
def ran(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """``ran(lesson, change)``: the folder of a lesson all of whose stages have run, with changed params."""
    shutil.copy(empty_store, tmp_path)

    def repro(lesson: str, change: Callable[[dict[str, Any]], object]) -> Path:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        folder = tmp_path / "lessons" / lesson
        folder.mkdir(parents=True)
        (tmp_path / paths.TOP).parent.mkdir()
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


def lesson(name: str) -> PictureParams:
    settings = config.load(LESSONS / name / "params.yaml")
    assert isinstance(settings, PictureParams)
    return settings


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
def test_the_stages_are_those_of_the_root(name: str) -> None:
    """The same commands on the same modules; each depends on its list of them, and all lists are written."""
    stages = yaml.safe_load((LESSONS / name / "dvc.yaml").read_text())["stages"]
    root = yaml.safe_load((LESSONS.parent / "dvc.yaml").read_text())["stages"]
    assert set(stages) <= set(root)
    for stage, own in stages.items():
        own, other = own.get("do", own), root[stage].get("do", root[stage])
        assert own["cmd"] == other["cmd"]
        if stage != "code":
            assert f"data/code/{stage}.json" in own["deps"]
            assert f"data/code/{stage}.json" in stages["code"]["outs"]


def test_code_of_pictures_is_listed_for_pictures() -> None:
    settings = lesson("sign-language")
    assert "pipeline/data/sources/digits.py" in code.versions("download", settings)
    assert "pipeline/data/media/picture.py" in code.versions("audit", settings)
    listed = code.versions("features", settings)
    assert {"pipeline/features/image.py", "pipeline/data/picture.py"} <= set(listed)
    assert "pipeline/features/wavelet.py" not in listed


def test_digits_through_all_stages(ran: Ran) -> None:
    def fewer(content: dict[str, Any]) -> None:
        content["experiments"] = {"mlp": {**content["experiments"]["mlp"], "training": {"epochs": 3}}}

    folder = ran("sign-language", fewer)
    scores = json.loads((folder / "metrics/mlp.json").read_text())
    assert scores["test_accuracy"] > 0.8
    page = (folder / "reports/comparison.html").read_text()
    assert "mlp on image" in page
    assert "handwritten digits, a stand-in (1797)" in page
    assert "20 pictures drawn at random" in (folder / "reports/data.html").read_text()
    split = pd.read_parquet(folder / paths.SPLIT).merge(pd.read_parquet(folder / paths.CLIPS), on="clip_id")
    assert (split.groupby("group")["part"].nunique() == 1).all()
    assert (split["part"].value_counts(normalize=True)["test"] - 0.25) < 0.01
    assert (folder.parents[1] / "mlflow.db").exists(), "runs of lessons stand in the store of the checkout"
    assert not (folder / "mlflow.db").exists()


def test_a_bad_picture_among_good_ones_stops_nothing(ran: Ran, tmp_path: Path) -> None:
    def own(content: dict[str, Any]) -> None:
        content["data"]["source"] = "pictures"
        content["features"]["image"]["size"] = 16
        content["experiments"] = {"tutorial": content["experiments"]["tutorial"]}
        folder = tmp_path / "lessons/animal-faces/data/pictures"
        folder.mkdir()
        shapes.fetch(folder, folder, config.PictureData(source="shapes"), 7)
        (folder / "circle/bad.jpg").write_text("no picture")

    folder = ran("animal-faces", own)
    assert (
        "| data/pictures/circle/bad.jpg | cannot be decoded: no picture that Pillow reads |"
        in (folder / paths.AUDIT).read_text()
    )
    assert "cannot be decoded" in (folder / "reports/comparison.html").read_text()
    assert len(pd.read_csv(folder / "features/image/index.csv")) == 3 * 80
