"""Stages run in this process, on params.yaml of the working folder: ``train("mlp")``."""

import importlib
from collections.abc import Callable
from functools import partial

from pipeline import config


def _run(name: str, *keys: str) -> None:
    getattr(importlib.import_module(f"pipeline.stages.{name}"), name)(config.load(), *keys)


audit: Callable[..., None] = partial(_run, "audit")
champion: Callable[..., None] = partial(_run, "champion")
compare: Callable[..., None] = partial(_run, "compare")
describe: Callable[..., None] = partial(_run, "describe")
download: Callable[..., None] = partial(_run, "download")
evaluate: Callable[..., None] = partial(_run, "evaluate")
features: Callable[..., None] = partial(_run, "features")
inputs: Callable[..., None] = partial(_run, "inputs")
leak: Callable[..., None] = partial(_run, "leak")
split: Callable[..., None] = partial(_run, "split")
train: Callable[..., None] = partial(_run, "train")
weights: Callable[..., None] = partial(_run, "weights")
