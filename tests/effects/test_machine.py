"""What a leaf may change without another result: how the machine is used. And that nothing else changes a result."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from leaves import changed
from workshop import ERROR, SAID, Workshop

from pipeline.training import ensemble, single
from pipeline.training.splits import Splits

SPEC = "models/cnn/fold0-seed7/spec.json"


def layouts(shop: Workshop, channels_last: bool, monkeypatch: pytest.MonkeyPatch) -> set[bool]:
    """Whether the kernels of the net that was trained lie with their channels last."""
    nets: list[Any] = []

    def saved(net: Any, data: Splits, file: Path) -> None:
        nets.append(net)
        single.save(net, data, file)

    monkeypatch.setattr(ensemble, "save", saved)
    shop.again("train@cnn", changed(shop.base, {"training.channels_last": channels_last}))
    (net,) = nets
    # of one channel, or of kernels of one pixel, both layouts are the same
    wide = [p for p in net.parameters() if p.ndim == 4 and p.shape[1] > 1]
    return {p.is_contiguous(memory_format=torch.channels_last) for p in wide}


def test_channels_last_is_where_the_weights_lie(made: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert layouts(made, True, monkeypatch) == {True}
    assert layouts(made, False, monkeypatch) == {False}


@pytest.mark.parametrize("key", ["cnn", "logreg"])
def test_training_takes_the_threads_that_it_is_given(key: str, made: Workshop) -> None:
    for threads in (1, 2):
        torch.set_num_threads(3)
        made.again(f"train@{key}", changed(made.base, {"training.threads": threads}))
        assert torch.get_num_threads() == threads


def test_an_accelerator_is_taken_or_refused(made: Workshop) -> None:
    left = made.again("train@cnn", changed(made.base, {"training.accelerator": "cuda"}))
    if torch.cuda.is_available():
        assert json.loads(left[SPEC])["device"] == torch.cuda.get_device_name()
    else:
        assert "training.accelerator: 'cuda', and PyTorch sees no GPU here" in left[ERROR]


@pytest.mark.parametrize("stage", ["split", "train@cnn", "train@transfer", "tutorial@cnn", "sweep logreg"])
def test_the_same_params_leave_the_same(stage: str, made: Workshop) -> None:
    """Else that a result differs would say nothing."""
    drawn = {f"training.augment.{leaf}": 4 for leaf in ("time_masks", "time_width", "gain_db")}
    params = changed(made.base, drawn)
    first, second = (
        {name: content for name, content in made.again(stage, params).items() if _decides(name)} for _ in "12"
    )
    assert first == second


def _decides(name: str) -> bool:
    return not name.endswith((".json", "mlruns")) and name != SAID
