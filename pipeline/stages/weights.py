"""Bring pre-trained weights here, converted to safetensors."""

from pipeline import config
from pipeline.base import paths
from pipeline.config.project import BaseParams
from pipeline.models.pretrained.fetch import fetch


def weights(settings: BaseParams, name: str) -> None:
    fetch(name, config.find_block("weights", settings.weights, name), paths.WEIGHTS / name)
