"""A row of the tables that say where each leaf of params.yaml has its effect."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from leaves import changed

Params = dict[str, Any]

TRIED = "what a sweep gave to training"
RUNS, CHAMPIONS = "experiments that have runs in MLflow", "champions in MLflow"
"""What a row may look at in place of files."""


@dataclass(frozen=True)
class Row:
    leaf: str
    value: Any
    """Another one than the base has."""
    stage: str
    """As DVC names it, ``train@cnn``; or a command of ``soundtrack``, ``sweep cnn``."""
    shows: str = ""
    """Of what the stage leaves, what must differ: a pattern of files, behind ``:`` a key of a JSON file or a column of a
    table; or one of the words above. Not what only repeats the value, as the column ``protocol`` of the split does."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """What both sides have, by leaf, for this one to have an effect."""
    also: Mapping[str, Any] = field(default_factory=dict)
    """What must change with the leaf, for the params to be possible."""
    says: str = ""
    """In place of ``shows``: what the stage says with the other value and not with the base's, by an error too, or asks the network for
    (a regular expression)."""

    def __str__(self) -> str:
        return f"{self.leaf} {self.stage}"

    def before(self, base: Params) -> Params:
        return changed(base, self.given)

    def after(self, base: Params) -> Params:
        return changed(base, {**self.given, **self.also, self.leaf: self.value})


def of(stage: str, shows: str, values: Mapping[str, Any], above: str = "", **more: Any) -> list[Row]:
    """A row for each leaf; ``above`` is what their names begin with."""
    return [Row(f"{above}{leaf}", value, stage, shows, **more) for leaf, value in values.items()]
