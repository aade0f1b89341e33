"""The clips table comes back as it was written, and a damaged one is an error that names it."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.data import clips
from pipeline.data.clips import COLUMNS, ClipsError

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
KINDS = {"string": TEXT, "int64": st.integers(-(2**63), 2**63 - 1), "float64": st.floats(allow_nan=False)}
ROWS = st.lists(st.fixed_dictionaries({name: KINDS[kind] for name, kind in COLUMNS.items()}), min_size=1, max_size=4)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_any_names_come_back(rows: list[dict[str, object]], tmp_path: Path) -> None:
    clips.write(pd.DataFrame(rows), tmp_path / "clips.parquet")
    assert clips.read(tmp_path / "clips.parquet").to_dict("records") == rows


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_an_error_that_names_the_file(data: st.DataObject, tmp_path: Path) -> None:
    file = tmp_path / "clips.parquet"
    clips.write(pd.DataFrame([dict.fromkeys(COLUMNS, "0")]).astype(COLUMNS), file)
    content = file.read_bytes()
    file.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(ClipsError, match=r"clips\.parquet cannot be read.*dvc checkout"):
        clips.read(file)


def test_another_table_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"clip_id": ["a"]}).to_parquet(tmp_path / "clips.parquet")
    with pytest.raises(ClipsError, match=r"lacks the columns \['duration_s'"):
        clips.read(tmp_path / "clips.parquet")
