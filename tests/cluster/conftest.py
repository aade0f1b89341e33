"""Clusters of processes on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dasks import Dask

from pipeline.base.cluster import ADDRESS


@pytest.fixture
def dask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dask]:
    pytest.importorskip("distributed", reason="pip install '.[dask]'")
    monkeypatch.setenv(ADDRESS, "")
    (tmp_path / "elsewhere").mkdir()
    cluster = Dask(tmp_path / "elsewhere")
    yield cluster
    cluster.end()
