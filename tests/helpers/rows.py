"""A row of the tables that say where each leaf of params.yaml has its effect."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from leaves import changed

Params = dict[str, Any]

ASKED = "asked"
"""Shown in place of files: what a server on this computer was asked for."""
TRIED = "tried"
"""What a sweep gave to training."""
EXPERIMENTS, CHAMPION = "mlflow:experiments", "mlflow:champion"
"""What stands in the MLflow store: experiments by name, and which registered model is the champion."""


@dataclass(frozen=True)
class Row:
    leaf: str
    value: Any
    """Another one than the base has."""
    stage: str
    """As DVC names it, ``train@cnn``; or a command of ``soundtrack``, ``sweep cnn``."""
    shows: str = ""
    """Of what the stage leaves, what must differ: a pattern of files, behind ``:`` a key of a JSON file; or one of the words
    above."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """What both sides have, by leaf, for this one to have an effect."""
    also: Mapping[str, Any] = field(default_factory=dict)
    """What must change with the leaf, for the params to be possible."""
    refused: str = ""
    """Of a leaf whose effect is that another value ends the stage: what it says (a regular expression)."""

    def __str__(self) -> str:
        return f"{self.leaf} {self.stage}"

    def before(self, base: Params) -> Params:
        return changed(base, self.given)

    def after(self, base: Params) -> Params:
        return changed(base, {**self.given, **self.also, self.leaf: self.value})


def of(stage: str, shows: str, values: Mapping[str, Any], above: str = "", **more: Any) -> list[Row]:
    """A row for each leaf; ``above`` is what their names begin with."""
    return [Row(f"{above}{leaf}", value, stage, shows, **more) for leaf, value in values.items()]
