"""Section `sweeps`: what a sweep tries."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from pipeline.config.base import Positive, Section


class Values(Section):
    """What a sweep tries for one key: numbers from ``low`` to ``high``, or one of ``choices``."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    """Whether the numbers are even in their logarithms."""
    choices: Annotated[list[Any], Field(min_length=2)] | None = None

    @model_validator(mode="after")
    def _a_range_or_choices(self) -> Self:
        given = [self.low is not None, self.high is not None, self.choices is not None]
        if given not in ([True, True, False], [False, False, True]):
            raise ValueError("give low and high, or choices")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError("high must be above low")
        if self.log and (self.low is None or self.low <= 0):
            raise ValueError("log needs a range above 0")
        if self.choices is not None and len(set(map(repr, self.choices))) < len(self.choices):
            raise ValueError("choices: each only once")
        return self

    @property
    def tried(self) -> list[Any]:
        """The choices, or the two ends."""
        return [self.low, self.high] if self.choices is None else self.choices

    def __contains__(self, value: Any) -> bool:
        if self.choices is not None:
            return value in self.choices
        return isinstance(value, int | float) and self.tried[0] <= value <= self.tried[1]


class Sweep(Section):
    trials: Positive
    space: Annotated[dict[str, Values], Field(min_length=1)]
    """By the dotted key below the experiment."""


def spaces(raw: Any) -> Any:
    """The section without its key ``storage``, which is no experiment's."""
    return {key: value for key, value in raw.items() if key != "storage"} if isinstance(raw, dict) else raw
