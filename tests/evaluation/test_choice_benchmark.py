"""The benchmark of the choice tells a rule that chooses well from one that does not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks import choice
from pipeline import config


def test_the_made_up_set_has_a_row_for_each_rule_and_its_truth_is_that_of_many_clips() -> None:
    settings = config.load()
    data = choice.made_up(settings)
    fitted = {key: one for key, one in data.experiments.items() if "logreg" in key}
    rows = pd.DataFrame(choice.compared(replace(data, experiments=fitted), settings, 1)).set_index("rule")
    assert list(rows.index[:2]) == ["now", "before"]
    assert (rows["regret"].iloc[:3] >= 0).all()
    np.testing.assert_allclose(rows["promised"] - rows["test"], rows["optimism"])
    assert len(data.table) == 360
    assert data.truth is not None
    assert len(data.truth.clips["valid"]) == pytest.approx(choice.TRUTH_CLIPS, rel=0.01)
    text = choice.updated(
        f"a\n{choice.BEGIN}stale\n{choice.END}z\n",
        {"sets": {"s": rows.reset_index().to_dict("records")}, "processor": "p"},
    )
    assert "| now | " in text
    assert "stale" not in text
