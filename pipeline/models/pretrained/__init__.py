"""Weights of pre-trained backbones: fetched once and converted to transformers' layout.

A folder of weights holds ``config.json``, ``model.safetensors``, ``SOURCE.md`` (where they come from) and, where the source
has one, ``preprocessor_config.json`` (how their input is scaled). Only safetensors is read, never a pickle, and no code
that comes with weights is run.
"""

from collections.abc import Iterable

from pipeline.base.errors import UserError

PREPROCESSOR = "preprocessor_config.json"


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
