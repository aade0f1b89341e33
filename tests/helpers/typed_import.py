"""What ``soundtrack import`` said to a user."""

from collections.abc import Callable
from typing import NamedTuple


class Outcome(NamedTuple):
    code: int
    text: str
    """What it printed, and its error message."""


Import = Callable[..., Outcome]
