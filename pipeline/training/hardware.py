"""Where a training runs on this machine and in which precision, as its run in MLflow says."""

import torch

from pipeline.params import Cnn, Experiment, Multimodal, ParamsError, Training, Transfer

FULL = "32-true"


def has_gpu(settings: Training) -> bool:
    return settings.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()


def device(settings: Training) -> str:
    return torch.cuda.get_device_name() if has_gpu(settings) else f"cpu, {settings.threads} thread(s)"


def precision(experiment: Experiment) -> str:
    """Lightning's name of the precision, with ``auto`` resolved.

    Sixteen bits hold the products of convolutions alone (autocast); weights, sums and losses stay in 32. A net
    without convolutions gains no time from them, so it keeps 32 throughout.

    Raises:
        ParamsError: 16-mixed without a GPU.
    """
    settings = experiment.training
    if settings.precision == "16-mixed" and not has_gpu(settings):
        raise ParamsError("training.precision: 16-mixed needs a GPU; auto and bf16-mixed do not")
    if settings.precision != "auto":
        return settings.precision
    convolves = isinstance(experiment.model, Cnn | Transfer | Multimodal) and not getattr(
        experiment.model, "frozen", False
    )
    return _fastest(settings) if convolves else FULL


def _fastest(settings: Training) -> str:
    if has_gpu(settings):
        # bfloat16 has the range of 32 bits and needs no scaling of the loss
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    return "bf16-mixed" if has_bf16() else FULL


def has_bf16() -> bool:
    """Whether this CPU computes in bfloat16; others emulate it, slower than 32 bits."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
