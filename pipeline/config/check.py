"""Checks a mapping against a section; the error names each key, what was given and what is allowed."""

from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from pydantic import ValidationError

from pipeline.config.base import AnySection, ParamsError, Section, did_you_mean

RENAMED = {
    "champion.familiar": "champion.in_distribution",
    "training.members": "training.ensemble_size",
    "model.tuned_share": "model.wise_ft_alpha",
    "model.tuned_from": "model.unfreeze_from",
    "model.maps": "model.feature_maps",
    "model.zoom": "model.upsample",
}
"""Old keys and new ones, dotted. Each old key matches all keys that end in it: ``model.zoom`` that of every experiment."""
MOVED = {
    "tutorial": "it is now in tutorial/params.yaml (docs/tutorial.md)",
    "medium": "remove it: the lessons on pictures now have commands of their own (their dvc.yaml)",
}
"""Old keys of the top level, and what to do about them."""


def check(raw: object, kind: type[AnySection], name: str) -> AnySection:
    """The section that YAML gave; ``name`` is for messages.

    Raises:
        ParamsError: a key, type or value is wrong.
    """
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        lines = [f"  {_explain(item, kind)}" for item in error.errors()]
        raise ParamsError("\n".join([f"{name} has {len(lines)} problem(s):", *lines])) from None


def _explain(item: Any, kind: type[Section]) -> str:
    keys, section = _walk(item["loc"], kind)
    key = ".".join(map(str, keys))
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        allowed = sorted(section.model_fields)
        unknown = f"unknown key{did_you_mean(str(keys[-1]), allowed)}; allowed here: {', '.join(allowed) or 'none'}"
        return f"{key}: {_moved(key) or unknown}"
    if item["type"] in ("missing", "value_error"):
        return f"{key}: {message}" if key else message
    return f"{key or '(top level)'}: {message}, got {item['input']!r}"


def _moved(key: str) -> str | None:
    for old, new in RENAMED.items():
        if f".{key}".endswith(f".{old}"):
            return f"renamed to {new}"
    return MOVED.get(key)


def _walk(location: tuple[Any, ...], kind: Any) -> tuple[list[Any], Any]:
    """The keys of a location, without the tags that pydantic adds where a tag chooses between sections; and the section
    that should have the last key."""
    keys, section = [], kind
    for part in location:
        kind = _bare(kind)
        choices = [choice for choice in get_args(kind) if part in _tags(choice)]
        if choices and get_origin(kind) is not dict:
            (kind,) = choices
            continue
        keys.append(part)
        section = kind
        if isinstance(kind, type) and issubclass(kind, Section):
            field = kind.model_fields.get(part)
            kind = field.annotation if field else None
        else:
            kind = get_args(kind)[1] if get_origin(kind) is dict else None
    return keys, section


def _bare(kind: Any) -> Any:
    """The type without its annotation, and without null where that is the only other choice."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    choices = [choice for choice in get_args(kind) if choice is not NoneType]
    return choices[0] if NoneType in get_args(kind) and len(choices) == 1 else kind


def _tags(choice: Any) -> tuple[Any, ...]:
    """The values of a section's first field, which distinguishes it from the other choices."""
    if not (isinstance(choice, type) and issubclass(choice, Section)):
        return ()
    tag, *_ = [*choice.model_fields.values(), None]
    return get_args(tag.annotation) if tag else ()
