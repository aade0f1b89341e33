"""Reads params.yaml."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.base import paths
from pipeline.config.base import AnySection, ParamsError, did_you_mean
from pipeline.config.check import check
from pipeline.config.project import Params


def load(file: Path = paths.PARAMS) -> Params:
    """Read and check the whole file.

    Raises:
        ParamsError: the file is missing, is no YAML, or has a wrong key, type or value.
    """
    return parse(read_yaml(file, "the checkout's top folder"), file.name)


def parse(raw: object, name: str = "params.yaml") -> Params:
    """Check what YAML gave; ``name`` is for messages."""
    return check(raw, Params, name)


def read(file: Path, kind: type[AnySection]) -> AnySection:
    """As :func:`load`, for params of another kind."""
    return check(read_yaml(file, "its folder, as `dvc repro` does"), kind, file.name)


def read_yaml(file: Path, place: str) -> Any:
    """``place`` says in messages where commands have to run."""
    try:
        text = file.read_text(encoding="utf-8")
        # YAML 1.2, as DVC: `dvc exp run -S` writes 1e-05, which is a text in PyYAML's YAML 1.1
        return json.loads(text) if file.suffix == ".json" else YAML(typ="safe", pure=True).load(text)
    except FileNotFoundError:
        raise ParamsError(f"{file} is not here: run from {place}") from None
    except (YAMLError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ParamsError(f"{file} is not readable: {error}") from None


def find_block(section: str, blocks: Mapping[str, AnySection], key: str, file: str = "params.yaml") -> AnySection:
    """
    Raises:
        ParamsError: the section has no block of this name.
    """
    if key not in blocks:
        close = did_you_mean(key, list(blocks))
        raise ParamsError(f"{section}.{key} is not in {file}; there are {sorted(blocks)}{close}")
    return blocks[key]
