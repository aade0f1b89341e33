"""Bring pre-trained weights here, converted to safetensors."""

from pipeline import paths
from pipeline.config.project import Params
from pipeline.models.pretrained.fetch import bring


def weights(settings: Params, name: str) -> None:
    bring(name, settings.weights[name], paths.WEIGHTS / name)
