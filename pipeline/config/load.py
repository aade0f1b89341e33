"""Reads params.yaml and checks it; an error names each key, what was given and what is allowed."""

from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline import paths
from pipeline.config.base import AnySection, ParamsError, Section, did_you_mean
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


def check(raw: object, kind: type[AnySection], name: str) -> AnySection:
    """As :func:`parse`, for params of another kind."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        lines = [f"  {_explain(item, kind)}" for item in error.errors()]
        raise ParamsError("\n".join([f"{name} has {len(lines)} problem(s):", *lines])) from None


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


def varied(experiment: Experiment, values: Mapping[str, Any], name: str) -> Experiment:
    """The experiment with other values at these dotted keys; ``name`` is for messages.

    Raises:
        ParamsError: a key is unknown, or the values are impossible.
    """
    block = experiment.model_dump()
    for key, value in values.items():
        section = block
        *above, last = key.split(".")
        for part in above:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise ParamsError(f"{name} has 1 problem(s):\n  {key}: there is nothing below {part!r}")
        section[last] = value
    return check(block, Experiment, name)


def _explain(item: Any, kind: type[Section]) -> str:
    key = ".".join(str(part) for part in item["loc"]) or "(top level)"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        known = _known_keys(item["loc"], kind)
        return f"{key}: unknown key{did_you_mean(str(item['loc'][-1]), known)}; allowed here: {', '.join(known) or 'none'}"
    if item["type"] in ("missing", "value_error"):
        return f"{key}: {message}"
    return f"{key}: {message}, got {item['input']!r}"


def _known_keys(location: tuple[Any, ...], kind: Any) -> list[str]:
    """The keys allowed beside the unknown one at ``location`` in params of this kind."""
    for part in location[:-1]:
        kind = _below(kind, part)
    return sorted(_given(kind).model_fields)


def _below(kind: Any, part: Any) -> Any:
    """The type at ``part`` of a section, of a mapping by name, or of a choice between sections by its tag."""
    kind = _given(kind)
    if isinstance(kind, type) and issubclass(kind, Section):
        return kind.model_fields[part].annotation
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    return next(choice for choice in get_args(kind) if part in _tags(choice))


def _given(kind: Any) -> Any:
    """The type without its annotation, and without null where that is the only other choice."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    choices = [choice for choice in get_args(kind) if choice is not NoneType]
    return choices[0] if NoneType in get_args(kind) and len(choices) == 1 else kind


def _tags(choice: type[Section]) -> tuple[Any, ...]:
    tag, *_ = choice.model_fields.values()
    return get_args(tag.annotation)
