"""No group is cut, every label is in every part, and the shares are those asked for as near as groups allow."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.data.split import PARTS, SplitError, grouped
from pipeline.params import Split

SHARES = {"train": 0.6, "valid": 0.15, "test": 0.25}
SETTINGS = Split(valid=SHARES["valid"], test=SHARES["test"])


def clips(members: list[tuple[str, str]]) -> pd.DataFrame:
    """One clip for each (group, label)."""
    ids = [f"clip {number}" for number in range(len(members))]
    return pd.DataFrame({"clip_id": ids, "group": [m[0] for m in members], "label": [m[1] for m in members]})


def split(table: pd.DataFrame, seed: int = 7) -> pd.DataFrame:
    """Each clip of ``table`` with its part, after the checks that hold for every split."""
    rows = grouped(table, SETTINGS, seed)
    assert sorted(rows["clip_id"]) == sorted(table["clip_id"])
    assert set(rows["fold"]) == {0}
    joined = table.merge(rows, on="clip_id")
    assert (joined.groupby("group")["part"].nunique() == 1).all(), "a group is cut"
    assert (joined.groupby("label")["part"].nunique() == len(PARTS)).all(), "a part lacks a label"
    return joined


sizes_of_groups = st.lists(st.integers(1, 12), min_size=3, max_size=12)


@settings(deadline=None, max_examples=25)
@given(st.lists(sizes_of_groups, min_size=2, max_size=5), st.integers(0, 2**32 - 1))
def test_groups_of_one_label(labels: list[list[int]], seed: int) -> None:
    members = [
        (f"{label} {group}", f"label {label}")
        for label, sizes in enumerate(labels)
        for group, size in enumerate(sizes)
        for _ in range(size)
    ]
    joined = split(clips(members), seed)
    for label, sizes in enumerate(labels):
        got = joined.loc[joined["label"] == f"label {label}", "part"].value_counts()
        for part, share in SHARES.items():
            # a part is given a group only as long as it lacks clips, so none is over by a whole group
            assert got[part] < sum(sizes) * share + max(sizes)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 14), st.integers(0, 3)), min_size=20, max_size=120),
    st.integers(0, 2**32 - 1),
)
def test_groups_across_labels(members: list[tuple[int, int]], seed: int) -> None:
    table = clips([(f"group {group}", f"label {label}") for group, label in members])
    assume((table.groupby("label")["group"].nunique() >= 3).all())
    try:
        split(table, seed)
    except SplitError as error:
        assert "has no clip in" in str(error)


@pytest.mark.parametrize("seed", range(5))
def test_a_rare_label_in_groups_of_others_is_in_every_part(seed: int) -> None:
    """The three groups with a ballad are mostly rock, of which there is plenty: rock must not decide alone."""
    members = [(f"band {band}", "rock") for band in range(20) for _ in range(4)]
    members += [(f"band {band}", "ballad") for band in (3, 11, 17)]
    split(clips(members), seed)


def test_many_equal_groups_have_the_shares_asked_for() -> None:
    members = [(f"{label} {number}", label) for label in ("jazz", "rock") for number in range(1000)]
    counts = split(clips(members)).groupby("label")["part"].value_counts().unstack()
    for part, share in SHARES.items():
        assert list(counts[part]) == [1000 * share, 1000 * share]


def test_the_split_follows_from_the_seed() -> None:
    members = [(f"{label} {number}", label) for label in ("jazz", "rock") for number in range(30)]
    first, again, other = (grouped(clips(members), SETTINGS, seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert (first["part"] != other["part"]).any()


def test_the_order_of_the_rows_does_not_matter() -> None:
    table = clips([(f"{label} {number % 9}", label) for label in ("jazz", "rock") for number in range(40)])
    shuffled = table.iloc[np.random.default_rng(0).permutation(len(table))]
    pd.testing.assert_frame_equal(grouped(table, SETTINGS, 7), grouped(shuffled, SETTINGS, 7))


def test_too_few_groups_name_the_label() -> None:
    members = [(f"jazz {number}", "jazz") for number in range(9)]
    members += [(f"blues {number % 2}", "blues") for number in range(9)]
    with pytest.raises(SplitError, match=r"'blues' has 2, 3 are needed") as caught:
        grouped(clips(members), SETTINGS, 7)
    assert "jazz" not in str(caught.value)


def test_groups_that_leave_no_way_name_the_label_and_the_part() -> None:
    """By x and y the groups c and d are in one part, which z, with three groups, cannot bear."""
    members = [
        (group, label) for label, groups in {"x": "abc", "y": "abd", "z": "cde"}.items() for group in groups
    ]
    with pytest.raises(SplitError, match=r"label '\w' has no clip in (train|valid|test)"):
        grouped(clips(members), SETTINGS, 7)
