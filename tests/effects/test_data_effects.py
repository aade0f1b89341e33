"""Each leaf about data, features, weights and the model that is used has its effect."""

import pytest
from effect import check
from rows import Row
from rows_data import BROUGHT, DATA, FEATURES, USE
from workshop import Workshop


@pytest.mark.parametrize("row", [*DATA, *FEATURES, *BROUGHT, *USE], ids=str)
def test_a_changed_value_shows_in_what_the_stage_leaves(row: Row, sounds: Workshop) -> None:
    check(row, sounds)
