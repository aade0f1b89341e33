"""Weights of pre-trained backbones: fetched once and converted to transformers' layout.

A folder of weights holds ``config.json``, ``model.safetensors``, ``SOURCE.md`` (where they come from) and, where the source
has them, ``preprocessor_config.json`` (how their input is scaled) and ``tokenizer.json`` (how text is cut). Only safetensors is read, never a pickle, and no code
that comes with weights is run.
"""

from pipeline.base.errors import UserError

PREPROCESSOR = "preprocessor_config.json"
TOKENIZER = "tokenizer.json"


class WeightsError(UserError):
    """Weights cannot be had or do not fit; the message says which, why and what to do."""
