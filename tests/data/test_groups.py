"""Clips that belong together are in one group, whatever the order in which that is found out."""

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import gtzan
from pipeline.data.groups import join, joint_credits

NAMES = list("abcdefgh")


def test_groups_of_a_pair_become_one_with_the_first_name() -> None:
    groups = pd.Series({"1": "x", "2": "x", "3": "b", "4": "c"})
    assert join(groups, [("2", "3")]).to_dict() == {"1": "b", "2": "b", "3": "b", "4": "c"}
    assert join(groups, []).to_dict() == groups.to_dict()


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES))))
def test_the_order_of_the_pairs_does_not_matter(pairs: list[tuple[str, str]]) -> None:
    groups = pd.Series(NAMES, index=NAMES)
    first = join(groups, pairs)
    turned = [(b, a) for a, b in reversed(pairs)]
    pd.testing.assert_series_equal(first, join(groups, turned))
    for a, b in pairs:
        assert first[a] == first[b]
    for name in NAMES:
        assert first[name] <= name


def test_joint_credits_go_with_their_artists() -> None:
    artists = ["Ann", "Ann and Bob", "Bob & Cy", "Cy feat. Dan", "Eve", "Earth, Wind & Fire", "AC/DC", "", "Andy"]
    found = dict(zip(artists, joint_credits(pd.Series(artists)), strict=True))
    together = {"Ann", "Ann and Bob", "Bob & Cy", "Cy feat. Dan"}
    assert len({found[name] for name in together}) == 1
    alone = ("Eve", "Earth, Wind & Fire", "AC/DC", "", "Andy")
    assert {name: found[name] for name in alone} == {name: name for name in alone}


def test_gtzan_artists_are_joined_over_genres_and_duets() -> None:
    groups = gtzan.groups()
    assert len(groups) == 1000
    of: dict[str, set[str]] = {}
    for clip, group in groups.items():
        of.setdefault(group, set()).add(clip.split(".")[0])
    assert of["Queen"] == of["Guns N' Roses"] == {"rock", "metal"}
    assert of["Bob Marley"] == {"reggae", "hiphop"}  # a duet with Lauryn Hill
    assert {group for group in of if group.startswith("unknown")} == {
        f"unknown ({genre})" for genre in set(gtzan.GENRES) - {"blues", "rock"}
    }


def test_gtzan_faults_are_known() -> None:
    faults = gtzan.faults()
    assert len(faults) == 85
    assert "rock.00016" in faults["metal.00058"]
    assert "Kaggle" in faults["jazz.00054"]
    assert gtzan.id_of("genres/jazz/jazz.00054.wav") == "jazz.00054"
    assert gtzan.id_of("jazz.00100.wav") is None
    assert gtzan.id_of("my jazz.00001.wav") is None
