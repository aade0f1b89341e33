"""``precision: auto`` is 16 bits where that is fast, and never where a net has nothing to gain."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from pipeline.config.base import ParamsError
from pipeline.config.experiment import Experiment
from pipeline.config.project import Params
from pipeline.training import hardware


@pytest.fixture
def of(settings: Params) -> Callable[..., Experiment]:
    def make(key: str, **changes: Any) -> Experiment:
        block = settings.experiments[key]
        return block.model_copy(update={"training": block.training.model_copy(update=changes)})

    return make


def machine(monkeypatch: pytest.MonkeyPatch, gpu: bool = False, cpu: bool = False, new: bool = True) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: new)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": cpu})


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        ({}, "32-true"),
        ({"cpu": True}, "bf16-mixed"),
        ({"gpu": True}, "bf16-mixed"),
        ({"gpu": True, "new": False}, "16-mixed"),
    ],
)
def test_auto_takes_what_the_machine_is_fast_in(
    monkeypatch: pytest.MonkeyPatch, of: Callable[..., Experiment], here: dict[str, bool], expected: str
) -> None:
    machine(monkeypatch, **here)
    assert hardware.resolved(of("cnn", precision="auto", accelerator="auto")).training.precision == expected


@pytest.mark.parametrize("key", ["mlp", "transfer"])
def test_auto_leaves_small_heads_alone(
    monkeypatch: pytest.MonkeyPatch, of: Callable[..., Experiment], key: str
) -> None:
    machine(monkeypatch, cpu=True)
    assert hardware.resolved(of(key, precision="auto", accelerator="cpu")).training.precision == "32-true"


def test_what_was_asked_for_is_what_is_used(monkeypatch: pytest.MonkeyPatch, of: Callable[..., Experiment]) -> None:
    machine(monkeypatch)
    assert hardware.resolved(of("cnn", precision="bf16-mixed")).training.precision == "bf16-mixed"
    machine(monkeypatch, gpu=True)
    assert hardware.resolved(of("cnn", precision="32-true", accelerator="auto")).training.precision == "32-true"


@pytest.mark.parametrize("accelerator", ["auto", "cpu"])
def test_half_precision_without_a_gpu_is_an_error(
    monkeypatch: pytest.MonkeyPatch, of: Callable[..., Experiment], accelerator: str
) -> None:
    machine(monkeypatch, gpu=accelerator == "cpu")
    with pytest.raises(ParamsError, match=r"training\.precision: 16-mixed"):
        hardware.resolved(of("cnn", precision="16-mixed", accelerator=accelerator))


def test_more_gpus_than_there_are_and_machines_without_slurm_are_refused(
    monkeypatch: pytest.MonkeyPatch, of: Callable[..., Experiment]
) -> None:
    machine(monkeypatch, gpu=True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("SLURM_JOB_NUM_NODES", raising=False)
    assert hardware.resolved(of("cnn", accelerator="auto", devices=2)).training.accelerator == "cuda"
    with pytest.raises(ParamsError, match=r"training.devices: 3, and PyTorch sees 2 GPU\(s\) here"):
        hardware.resolved(of("cnn", accelerator="auto", devices=3))
    with pytest.raises(
        ParamsError, match=r"training.nodes: 2, and this runs on 1: start it in a job of SLURM, by sbatch"
    ):
        hardware.resolved(of("cnn", accelerator="auto", nodes=2))
