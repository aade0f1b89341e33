"""Data frames as a page's tables."""

import numpy as np
import pandas as pd

from pipeline.reports.pages import tabulated


def test_numbers_stand_on_the_right_with_three_decimals_where_they_are_fractions() -> None:
    frame = pd.DataFrame(
        {"what": ["a", "b"], "count": [1234, 5], "share": [1234.5678, np.nan], "end": [np.inf, 0.0005]}
    )
    table = tabulated(frame)
    assert table.columns == ["what", "count", "share", "end"]
    assert table.align == "lrrr"
    assert table.rows == [["a", "1,234", "1,234.568", "–"], ["b", "5", "–", "0.001"]]
