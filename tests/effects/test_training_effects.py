"""Each leaf about training, models and windows has its effect."""

import pytest
from effect import check
from rows import Row
from rows_training import CHOICE, DEFAULTS
from workshop import Workshop

ROWS = [*DEFAULTS, *CHOICE]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_changed_value_shows_in_what_the_stage_leaves(row: Row, made: Workshop) -> None:
    check(row, made)
