"""Checks a mapping against a section; the error names each key, what was given and what is allowed."""

from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from pydantic import ValidationError

from pipeline.config.base import AnySection, ParamsError, Section, did_you_mean

RENAMED = {"champion.familiar": "champion.in_distribution"}
"""Keys of earlier versions of params.yaml, and their names today."""


def check(raw: object, kind: type[AnySection], name: str) -> AnySection:
    """As :func:`parse`, for params of another kind."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        lines = [f"  {_explain(item, kind)}" for item in error.errors()]
        raise ParamsError("\n".join([f"{name} has {len(lines)} problem(s):", *lines])) from None


def _explain(item: Any, kind: type[Section]) -> str:
    key = ".".join(str(part) for part in item["loc"]) or "(top level)"
    message = item["msg"].removeprefix("Value error, ")
    if key in RENAMED:
        return f"{key} is now called {RENAMED[key]}"
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
