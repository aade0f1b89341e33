"""`soundtrack weights` lists what is known, and marks what params.yaml has."""

import sys

import pytest

from pipeline import cli
from pipeline.models.pretrained import known, pip_package


@pytest.mark.usefixtures("checkout")
def test_the_list_says_what_is_used_and_what_fits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    large = known.Known("large", "some/network", "MIT", 1e9, 16_000, "everything")
    monkeypatch.setattr(known, "KNOWN", [*known.KNOWN, large])
    monkeypatch.setattr(sys, "argv", ["soundtrack", "weights"])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["name", "source", "licence"]
    by_name = {row[2:].split()[0]: row for row in rows}
    assert [name for name, row in by_name.items() if row.startswith("*")] == ["mobilenet_v2"]
    assert "m-a-p/MERT-v1-95M" in by_name["mert"]
    assert "24,000 Hz" in by_name["mert"]
    assert "too large" in by_name["large"]
    assert "too large" not in by_name["musicnn_msd"]


def test_every_package_that_carries_weights_is_listed() -> None:
    assert {one.name for one in known.KNOWN if one.pip} == set(pip_package.CARRIERS)
