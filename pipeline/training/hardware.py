"""Where a training runs on this machine and in which precision."""

import os
import shutil

import torch

from pipeline.config.base import ParamsError
from pipeline.config.experiment import Experiment, Fusion
from pipeline.config.models import Cnn, ModelSection, Multimodal, Transfer
from pipeline.config.training import Training


def resolved(experiment: Experiment) -> Experiment:
    """The experiment with every ``auto`` replaced by what this machine takes.

    Sixteen bits hold the products of convolutions alone (autocast); weights, sums and losses stay in 32. A net
    without convolutions gains no time from them, so it keeps 32 throughout.

    Raises:
        ParamsError: 16-mixed without a GPU, a GPU that is not here, or machines that are not of a job of SLURM.
    """
    settings, model = experiment.training, experiment.model
    _check_places(settings)
    found = {"accelerator": _accelerator(settings), "precision": _precision(model, settings)}
    if isinstance(model, Fusion):
        branches = {name: resolved(branch) for name, branch in model.branches.items()}
        model = model.model_copy(update={"branches": branches})
    return experiment.model_copy(update={"training": settings.model_copy(update=found), "model": model})


def has_gpu(settings: Training) -> bool:
    return settings.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()


def gpus(settings: Training) -> list[str]:
    """torch's names of the GPUs that a training, or the embeddings for it, may use; empty on the CPU."""
    return [f"cuda:{number}" for number in range(settings.devices)] if has_gpu(settings) else []


def device(settings: Training) -> str:
    """The name of a resolved training's device."""
    each = f"{settings.processes} x " if settings.processes > 1 else ""
    if has_gpu(settings):
        return each + torch.cuda.get_device_name()
    threads = "thread" if settings.threads == 1 else "threads"
    return f"{each}{settings.accelerator}, {settings.threads} {threads}"


def _accelerator(settings: Training) -> str:
    if settings.accelerator in ("gpu", "cuda") and not has_gpu(settings):
        raise ParamsError(
            f"training.accelerator: {settings.accelerator!r}, and PyTorch sees no GPU here: set it to auto or cpu"
        )
    if settings.accelerator != "auto":
        return settings.accelerator
    return "cuda" if has_gpu(settings) else "cpu"


def _check_places(settings: Training) -> None:
    if (has_gpu(settings) or settings.accelerator == "mps") and settings.devices > (
        gpus := max(1, torch.cuda.device_count())
    ):
        raise ParamsError(f"training.devices: {settings.devices}, and PyTorch sees {gpus} GPU(s) here: ask for no more")
    machines = int(os.environ.get("SLURM_JOB_NUM_NODES", 1))
    if settings.nodes > machines or (settings.nodes > 1 and not shutil.which("srun")):
        raise ParamsError(
            f"training.nodes: {settings.nodes}, and this runs on {machines}: start it in a job of SLURM, by sbatch with "
            f"--nodes={settings.nodes} (docs/cluster.md), or set it to 1"
        )


def _precision(model: ModelSection, settings: Training) -> str:
    if settings.precision == "16-mixed" and not has_gpu(settings):
        raise ParamsError("training.precision: 16-mixed needs a GPU; auto and bf16-mixed do not")
    if settings.precision != "auto":
        return settings.precision
    if not isinstance(model, Cnn | Transfer | Multimodal) or getattr(model, "frozen", False):
        return "32-true"
    if has_gpu(settings):
        # bfloat16 has the range of 32 bits and needs no scaling of the loss
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    return "bf16-mixed" if has_bf16() else "32-true"


def has_bf16() -> bool:
    """Whether this CPU computes in bfloat16; others emulate it, slower than 32 bits."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
