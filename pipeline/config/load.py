"""Reads params.yaml."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline import paths
from pipeline.config.base import AnySection, ParamsError, did_you_mean
from pipeline.config.check import check
from pipeline.config.experiment import Experiment
from pipeline.config.project import Params, PictureParams, SoundParams


def load(file: Path = paths.PARAMS) -> Params:
    """Read and check the whole file.

    Raises:
        ParamsError: the file is missing, is no YAML, or has a wrong key, type or value.
    """
    return parse(_yaml(file, "the checkout's top folder"), file.name)


def read(file: Path, kind: type[AnySection]) -> AnySection:
    """As :func:`load`, for params of another kind."""
    return check(_yaml(file, "its folder, as `dvc repro` does"), kind, file.name)


def _yaml(file: Path, place: str) -> Any:
    try:
        # YAML 1.2, as DVC: `dvc exp run -S` writes 1e-05, which is a text in PyYAML's YAML 1.1
        return YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{file} is not here: run from {place}") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{file} is not readable as YAML: {error}") from None


def load_sound(file: Path = paths.PARAMS) -> SoundParams:
    """As :func:`load`, for what is about sound alone."""
    settings = load(file)
    if not isinstance(settings, SoundParams):
        raise ParamsError(f"{file} is for pictures (medium), and this needs sound")
    return settings


def parse(raw: object, name: str = "params.yaml") -> Params:
    """Check what YAML gave; ``name`` is for messages."""
    kind = PictureParams if isinstance(raw, dict) and raw.get("medium") == "picture" else SoundParams
    return check(raw, kind, name)


def experiment(params: Params, key: str) -> Experiment:
    return _named("experiments", params.experiments, key)


def of_tutorial(params: SoundParams, key: str) -> Experiment:
    return _named("tutorial.experiments", params.tutorial.experiments, key)


def _named(section: str, blocks: Mapping[str, Experiment], key: str) -> Experiment:
    if key not in blocks:
        raise ParamsError(
            f"{section}.{key} is not in params.yaml; there are {sorted(blocks)}{did_you_mean(key, list(blocks))}"
        )
    return blocks[key]
