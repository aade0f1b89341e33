"""Base class of every section of params.yaml, and the error that names a wrong key."""

import difflib
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from pipeline.base.errors import UserError

Fraction = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Positive = Annotated[int, Field(ge=1, lt=2**31)]


class ParamsError(UserError):
    """params.yaml is not usable; the message names each key, what was given and what is allowed."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


AnySection = TypeVar("AnySection", bound=Section)


def did_you_mean(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def merged(defaults: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    both = {key: merged(defaults[key], own[key]) for key in own if is_section(defaults, key) and is_section(own, key)}
    return {**defaults, **own, **both}


def is_section(mapping: dict[str, Any], key: str) -> bool:
    return isinstance(mapping.get(key), dict)
