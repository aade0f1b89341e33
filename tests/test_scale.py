"""The benchmark of scale runs real stages on made-up clips, and keeps what it has of other sizes."""

import sys
from pathlib import Path

import pytest

from benchmarks import scale
from pipeline.base.files import read_json, write_json


def test_steps_are_measured_and_the_document_has_a_table_of_all_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "scale.json"
    write_json(out, {"processor": "", "cores": 1, "rows": {"split": {"7": {"s": 1.5, "MB": 90}}}})
    asked = ["--sizes", "400", "--only", "split", "audit without decoding", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["benchmarks", "scale", *asked])
    scale.main()
    found = read_json(out)
    assert list(found["rows"]["split"]) == ["7", "400"]
    assert found["rows"]["audit without decoding"]["400"]["MB"] > 10
    text = scale.updated(f"before\n{scale.BEGIN}stale\n{scale.END}after\n", found)
    assert "| | 7: s | 400: s | 7: MB | 400: MB |" in text
    assert "| split | 1.5 | " in text
    assert "stale" not in text
