"""Each leaf of the tutorial and of sweeps has its effect."""

import pytest
from effect import check
from rows import Row
from rows_use import SWEEPS, TUTORIAL
from workshop import Workshop


@pytest.mark.parametrize("row", [*TUTORIAL, *SWEEPS], ids=str)
def test_a_changed_value_shows_in_what_the_stage_leaves(row: Row, made: Workshop) -> None:
    check(row, made)
