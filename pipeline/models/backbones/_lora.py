"""Low-rank adapters beside a network's weights, by the package peft."""

from torch import nn

from pipeline.config.base import ParamsError
from pipeline.config.models import Lora

TARGETS = (("q_proj", "v_proj"), ("query", "value"), ("intermediate_dense", "output_dense"))
"""Names of layers that get adapters, the first pair that the network has: those of attention, as in the paper."""
WAVLM = TARGETS[-1:]
"""WavLM's attention reads the weights of its layers and never calls them, so that adapters there would do nothing."""


def adapt(network: nn.Module, settings: Lora) -> None:
    """Give ``network`` adapters, which are all of it that is trained; before training they change nothing.

    Raises:
        ParamsError: peft is not installed, or the network has no layers to adapt.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError as error:
        raise ParamsError("model.lora needs the package peft: pip install 'soundtrack[lora]'") from error
    names = {name.rsplit(".", 1)[-1] for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    wavlm = type(network).__name__.startswith("WavLM")
    targets = next((pair for pair in (WAVLM if wavlm else TARGETS) if names.issuperset(pair)), None)
    if targets is None:
        raise ParamsError(f"model.lora: {type(network).__name__} has no layers {' or '.join(map(str, TARGETS))}")
    config = LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout, target_modules=list(targets)
    )
    inject_adapter_in_model(config, network)
