"""Pre-trained backbones: brought here once, whole, in transformers' layout, and loaded from there.

Such a folder holds ``config.json``, ``model.safetensors`` and ``SOURCE.md``, which says where the weights
come from. Only safetensors is read, never a pickle, and no code that comes with weights is run.
"""

from pipeline.errors import UserError


class WeightsError(UserError):
    """Weights cannot be had or do not fit; the message says which, why and what to do."""
