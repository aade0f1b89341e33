"""Pre-trained backbones: brought here once, whole, in transformers' layout, and loaded from there.

Such a folder holds ``config.json``, ``model.safetensors`` and ``SOURCE.md``, which says where the weights
come from, and where they came with one ``preprocessor_config.json``, which says what they heard. Only safetensors is read, never a pickle, and no code that comes with weights is run.
"""

from collections.abc import Iterable

from pipeline.errors import UserError


class WeightsError(UserError):
    """Weights cannot be had or do not fit; the message says which, why and what to do."""


def check_names(source: str, network: str, wanted: Iterable[str], given: Iterable[str]) -> None:
    """
    Raises:
        WeightsError: of a network's tensors one is missing from ``source``, or one in it is left over.
    """
    if missing := sorted({*wanted} - {*given}):
        raise WeightsError(f"{source} lacks {', '.join(missing)}")
    if unknown := sorted({*given} - {*wanted}):
        raise WeightsError(f"{source} holds what {network} has no place for: {', '.join(unknown)}")
