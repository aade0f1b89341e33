"""Clips of a group stay in one part, every label is in every part, shares are as near to those asked for as groups
allow; GTZAN's protocols have the published clips."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline import config
from pipeline.config.data import Split
from pipeline.data import gtzan
from pipeline.data.split import LEAKY, PARTS, SplitError, explained, in_words, leaky
from pipeline.data.split import split as made
from tutorial.split import first_to_train

SHARES = {"train": 0.6, "valid": 0.15, "test": 0.25}
SETTINGS = Split(protocol="grouped", folds=1, test_folds=1, valid=SHARES["valid"], test=SHARES["test"])


def clips(members: list[tuple[str, str]]) -> pd.DataFrame:
    """One clip for each (group, label)."""
    ids = [f"clip {number}" for number in range(len(members))]
    return pd.DataFrame({"clip_id": ids, "group": [m[0] for m in members], "label": [m[1] for m in members]})


def split(table: pd.DataFrame, seed: int = 7) -> pd.DataFrame:
    """Each clip of ``table`` with its part, after the checks that hold for every split."""
    rows = made(table, SETTINGS, seed)
    assert sorted(rows["clip_id"]) == sorted(table["clip_id"])
    assert set(rows["fold"]) == {0}
    joined = table.merge(rows, on="clip_id")
    assert (joined.groupby("group")["part"].nunique() == 1).all(), "a group is in two parts"
    assert (joined.groupby("label")["part"].nunique() == len(PARTS)).all(), "a part lacks a label"
    return joined


sizes_of_groups = st.lists(st.integers(1, 12), min_size=3, max_size=12)


@settings(max_examples=25)
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


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 14), st.integers(0, 3)), min_size=20, max_size=120), st.integers(0, 2**32 - 1))
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


def test_the_parts_of_a_seed_are_those_of_earlier_versions() -> None:
    """The scores in the documents were measured on them."""
    digest = hashlib.sha256()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        labels = int(rng.integers(2, 14))
        members = [(f"group {group}", f"label {label}") for group, label in rng.integers((50, labels), size=(300, 2))]
        table = clips(members if seed % 2 else sorted(set(members)))
        for changes in ({}, {"test_folds": 4}, {"folds": 5}, {"protocol": "random"}):
            rows = made(table, SETTINGS.model_copy(update=changes), seed)
            digest.update(rows.to_csv(index=False, lineterminator="\n").encode())
    assert digest.hexdigest() == "7ade73dd8e0d33e8ce82fb06f91b52284b69ecf2fd5544056085042dbfd109fb"


def test_many_equal_groups_have_the_shares_asked_for() -> None:
    members = [(f"{label} {number}", label) for label in ("jazz", "rock") for number in range(1000)]
    counts = split(clips(members)).groupby("label")["part"].value_counts().unstack()
    for part, share in SHARES.items():
        assert list(counts[part]) == [1000 * share, 1000 * share]


def test_the_split_follows_from_the_seed() -> None:
    members = [(f"{label} {number}", label) for label in ("jazz", "rock") for number in range(30)]
    first, again, other = (made(clips(members), SETTINGS, seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert (first["part"] != other["part"]).any()


def test_the_order_of_the_rows_does_not_matter() -> None:
    table = clips([(f"{label} {number % 9}", label) for label in ("jazz", "rock") for number in range(40)])
    shuffled = table.iloc[np.random.default_rng(0).permutation(len(table))]
    pd.testing.assert_frame_equal(made(table, SETTINGS, 7), made(shuffled, SETTINGS, 7))


@settings(max_examples=25)
@given(
    st.lists(st.lists(st.integers(1, 12), min_size=5, max_size=12), min_size=2, max_size=4),
    st.integers(2, 5),
    st.integers(0, 2**32 - 1),
)
def test_folds(labels: list[list[int]], folds: int, seed: int) -> None:
    members = [
        (f"{label} {group}", f"label {label}")
        for label, sizes in enumerate(labels)
        for group, size in enumerate(sizes)
        for _ in range(size)
    ]
    table = clips(members)
    try:
        rows = made(table, SETTINGS.model_copy(update={"test_folds": folds}), seed)
    except SplitError as error:
        # with two folds a label of few, unequal groups may have one group outside a fold
        assert folds == 2 and "has no clip in" in str(error)
        return
    joined = table.merge(rows, on="clip_id")
    assert set(rows["fold"]) == set(range(folds))
    assert (rows.groupby("fold").size() == len(table)).all(), "a fold has not all clips"
    assert (rows[rows["part"] == "test"].groupby("clip_id").size() == 1).all(), "tested twice"
    assert rows[rows["part"] == "test"]["clip_id"].nunique() == len(table), "never tested"
    assert (joined.groupby(["fold", "group"])["part"].nunique() == 1).all(), "a group is in two parts"
    assert (joined.groupby(["fold", "label"])["part"].nunique() == len(PARTS)).all(), "a part lacks a label"


def test_folds_are_of_like_size_though_each_label_has_a_large_group() -> None:
    """Ten labels with a group of 20 and six of 5: no fold gets all the large ones."""
    members = [
        (f"{label} {group}", f"label {label}")
        for label in range(10)
        for group in range(7)
        for _ in range(20 if group == 0 else 5)
    ]
    rows = made(clips(members), SETTINGS.model_copy(update={"test_folds": 5}), 7)
    sizes = rows[rows["part"] == "test"].groupby("fold").size()
    assert sizes.sum() == 500
    assert sizes.max() <= 1.2 * sizes.min()


def test_random_puts_a_group_in_several_parts_and_says_that_it_leaks() -> None:
    members = [(f"{label} {number % 4}", label) for label in ("jazz", "rock") for number in range(40)]
    table = clips(members)
    random = SETTINGS.model_copy(update={"protocol": "random"})
    joined = table.merge(made(table, random, 7), on="clip_id")
    assert (joined.groupby("group")["part"].nunique() > 1).all()
    assert joined["part"].value_counts().to_dict() == {part: 80 * share for part, share in SHARES.items()}


@pytest.mark.parametrize("protocol", ["grouped", "random", "tutorial", "filtered"])
def test_a_table_says_how_it_was_made(protocol: str) -> None:
    rows = made(gtzan_names(), SETTINGS.model_copy(update={"protocol": protocol}), 7)
    assert set(rows["protocol"]) == {protocol}
    assert explained(rows).startswith(f"{protocol}: ")
    assert ("Leaky" in explained(rows)) == (leaky(rows) is not None) == (protocol in LEAKY)


def gtzan_names() -> pd.DataFrame:
    """The 1000 clips by name, as the source gives them."""
    names = [f"{genre}/{genre}.{number:05}.wav" for genre in gtzan.GENRES for number in range(100)]
    ids = pd.Series(names).map(gtzan.id_of)
    labels = [name.split("/")[0] for name in names]
    return pd.DataFrame({"clip_id": names, "label": labels, "group": ids.map(gtzan.groups())})


def ids_by_part(protocol: str, table: pd.DataFrame) -> dict[str, set[str]]:
    rows = made(table, SETTINGS.model_copy(update={"protocol": protocol}), 7)
    return {part: set(own["clip_id"].map(gtzan.id_of)) for part, own in rows.groupby("part")}


def test_tutorial_has_the_first_sixty_to_train_and_the_rest_to_test() -> None:
    parts = ids_by_part("tutorial", gtzan_names())
    first = {f"{genre}.{number:05}" for genre in gtzan.GENRES for number in range(60)}
    last = {f"{genre}.{number:05}" for genre in gtzan.GENRES for number in range(60, 100)}
    assert parts["test"] == last
    assert parts["train"] | parts["valid"] == first
    assert not parts["train"] & parts["valid"]
    assert len(parts["valid"]) == 10 * 9  # 15 % of 60


def test_of_gtzan_the_first_sixty_train_and_the_others_are_valid_and_test() -> None:
    table = gtzan_names().sample(frac=1, random_state=1)
    table = table[table["clip_id"] != "jazz/jazz.00054.wav"]  # the file that nobody can read
    rows = first_to_train(table)
    parts = {part: list(own["clip_id"]) for part, own in rows.groupby("part")}
    assert set(map(gtzan.id_of, parts["test"])) == ids_by_part("tutorial", table)["test"]
    assert parts["valid"] == parts["test"]
    assert sorted(parts["train"] + parts["test"]) == sorted(table["clip_id"]), "each on one side, once"
    assert (rows["fold"] == 0).all()


def test_the_first_60_percent_train_in_any_data() -> None:
    """Of each label by itself, by name and not by row, rounded down."""
    table = clips([(f"group {number}", "jazz" if number < 6 else "rock") for number in range(11)])
    rows = first_to_train(table.iloc[::-1]).query("part == 'train'")
    assert sorted(rows["clip_id"]) == [f"clip {number}" for number in (0, 1, 10, 2, 6, 7)]
    with pytest.raises(SplitError, match="label 'polka' has no clip in train"):
        first_to_train(pd.concat([table, clips([("a", "polka")]).assign(clip_id="polka")]))


def test_filtered_is_the_published_split() -> None:
    parts = ids_by_part("filtered", gtzan_names())
    assert {part: len(ids) for part, ids in parts.items()} == {"train": 443, "valid": 197, "test": 290}
    # the ends of the published lists
    assert {"blues.00029", "rock.00099"} <= parts["train"] | parts["valid"] | parts["test"]
    assert "blues.00029" in parts["train"]
    assert "blues.00000" in parts["valid"]
    assert "blues.00012" in parts["test"]
    assert not {"classical.00042", "country.00008"} & set().union(*parts.values())


def test_filtered_is_the_lists_of_its_authors(shared: Path) -> None:
    parts = ids_by_part("filtered", gtzan_names())
    for part, ids in parts.items():
        listed = (shared / f"data/gtzan-lists/{part}_filtered.txt").read_text().split()
        assert ids == {Path(name).stem for name in listed}


def test_filtered_has_each_artist_credited_alone_in_one_part() -> None:
    artists = {clip: group for clip, group in gtzan.groups().items() if not group.startswith("unknown")}
    parts: dict[str, set[str]] = {}
    for clip, part in gtzan.filtered().items():
        if part != "excluded" and clip in artists:
            parts.setdefault(artists[clip], set()).add(part)
    # duets join artists that the authors kept apart
    assert {artist for artist, own in parts.items() if len(own) > 1} == {
        "Aretha Franklin, Celine Dion, Mariah Carey, Shania Twain & Gloria Estefan",
        "Barbra Streisand and Donna Summer",
        "Bob Marley",
    }


def test_ids_that_the_data_lack_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    table = gtzan_names()
    parts = ids_by_part("filtered", table[table["clip_id"] != "blues/blues.00029.wav"])
    assert len(parts["train"]) == 442
    assert "1 ids of the protocol are not in the data: blues.00029" in caplog.text


def test_published_splits_are_for_gtzan_alone() -> None:
    table = clips([(f"{label} {number}", label) for label in ("jazz", "rock") for number in range(9)])
    for protocol in ("tutorial", "filtered"):
        with pytest.raises(SplitError, match="is for GTZAN"):
            ids_by_part(protocol, table)


def test_too_few_groups_name_the_label() -> None:
    members = [(f"jazz {number}", "jazz") for number in range(9)]
    members += [(f"blues {number % 2}", "blues") for number in range(9)]
    with pytest.raises(SplitError, match=r"'blues' has 2, 3 are needed") as caught:
        made(clips(members), SETTINGS, 7)
    assert "jazz" not in str(caught.value)


def test_groups_that_allow_no_split_name_the_label_and_the_part() -> None:
    """By x and y the groups c and d are in one part, so z, with three groups, misses one."""
    members = [(group, label) for label, groups in {"x": "abc", "y": "abd", "z": "cde"}.items() for group in groups]
    with pytest.raises(SplitError, match=r"label '\w' has no clip in (train|valid|test)"):
        made(clips(members), SETTINGS, 7)


DEFAULT = config.load(Path(__file__).parents[2] / "params.yaml").split
"""With ``folds: auto``."""


def sized(groups: int, clips_each: int) -> pd.DataFrame:
    """Two labels with this many groups each."""
    members = [(f"{label} {group}", label) for label in ("jazz", "rock") for group in range(groups)]
    return clips([member for member in members for _ in range(clips_each)])


def cross_validated(table: pd.DataFrame, rows: pd.DataFrame, folds: int) -> None:
    """Each clip outside test is valid once, beside a refit that is trained on all of them."""
    *compared, refit = (own.set_index("clip_id")["part"] for _, own in rows.groupby("fold"))
    assert sorted(rows["fold"].unique()) == list(range(folds + 1))
    outside = set(refit.index[refit == "train"])
    assert set(refit) == {"train", "test"}
    assert all(set(parts.index) == outside and set(parts) == {"train", "valid"} for parts in compared)
    held_out = [clip for parts in compared for clip in parts.index[parts == "valid"]]
    assert sorted(held_out) == sorted(outside)
    joined = rows.merge(table, on="clip_id")
    beside = joined[joined["part"] != "test"]  # a published split has unknown artists on both sides
    assert (beside.groupby(["fold", "group"])["part"].nunique() == 1).all(), "a group is in two parts"
    train = joined[joined["part"] == "train"]
    assert (train.groupby("fold")["label"].nunique() == table["label"].nunique()).all(), "a label is not trained on"


@pytest.mark.parametrize(
    ("groups", "clips_each", "folds"),
    [
        (20, 3, 5),
        (100, 11, 1),  # of 200 groups 30 are valid, with 330 clips
        (100, 9, 5),  # 270 clips
        (80, 15, 5),  # 24 groups
    ],
)
def test_auto_takes_five_folds_where_valid_would_be_small(groups: int, clips_each: int, folds: int) -> None:
    table = sized(groups, clips_each)
    rows = made(table, DEFAULT, 7)
    if folds == 1:
        pd.testing.assert_frame_equal(rows, made(table, DEFAULT.model_copy(update={"folds": 1}), 7))
        assert "cross-validated" not in in_words(rows) + explained(rows)
        return
    cross_validated(table, rows, folds)
    assert f"cross-validated in {folds} folds" in in_words(rows)
    assert f"cross-validated in {folds} folds" in explained(rows)


def test_the_test_clips_do_not_depend_on_folds() -> None:
    table = sized(20, 3)
    found = [
        rows.loc[rows["part"] == "test", "clip_id"].tolist()
        for rows in (made(table, DEFAULT.model_copy(update={"folds": folds}), 7) for folds in (1, 3, 5))
    ]
    assert found[0] == found[1] == found[2]


def test_a_label_with_two_groups_outside_test_can_be_cross_validated() -> None:
    members = [(f"{label} {group}", label) for label in ("jazz", "rock") for group in range(12)]
    members += [(f"polka {group}", "polka") for group in range(3)]
    table = clips([member for member in members for _ in range(4)])
    cross_validated(table, made(table, DEFAULT, 7), 5)


def test_test_folds_are_each_cross_validated() -> None:
    table = sized(20, 3)
    rows = made(table, DEFAULT.model_copy(update={"test_folds": 3, "folds": 4}), 7)
    assert rows.groupby("test_fold")["fold"].unique().map(list).tolist() == [
        [5 * n + k for k in range(5)] for n in range(3)
    ]
    assert sorted(rows.loc[rows["part"] == "test", "clip_id"]) == sorted(table["clip_id"]), "each a test clip once"
    for number, own in rows.groupby("test_fold"):
        cross_validated(table, own.assign(fold=own["fold"] - 5 * number), 4)


@pytest.mark.parametrize("protocol", ["filtered", "tutorial"])
def test_published_splits_are_cross_validated_only_where_asked(protocol: str) -> None:
    table, asked = gtzan_names(), DEFAULT.model_copy(update={"protocol": protocol})
    published, folds = made(table, asked, 7), made(table, asked.model_copy(update={"folds": 5}), 7)
    assert set(published["fold"]) == {0}
    test = [set(rows.loc[rows["part"] == "test", "clip_id"]) for rows in (published, folds)]
    assert test[0] == test[1]
    if protocol == "filtered":
        cross_validated(table, folds, 5)
        counts = folds[folds["fold"] == 5]["part"].value_counts().to_dict()
        assert counts == {"train": 443 + 197, "test": 290}
