"""Each leaf of the experiments has its effect."""

import pytest
from effect import check
from rows import Row
from rows_experiments import PICTURES, TABULAR, TRANSFER
from workshop import Workshop


@pytest.mark.parametrize("row", [*TABULAR, *PICTURES, *TRANSFER], ids=str)
def test_a_changed_value_shows_in_what_the_stage_leaves(row: Row, made: Workshop) -> None:
    check(row, made)
