"""Groups: clips that a split must put in the same part."""

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

MOST = 0.5
"""Share of a label's clips from which on a group has most of them."""
_BETWEEN_NAMES = re.compile(r"\s*(?:,|;|/|&|\band\b|\bfeat\.?|\bfeaturing\b|\bft\.|\bwith\b|\bvs\.?)\s+", re.I)


def join(groups: pd.Series, pairs: Iterable[tuple[str, str]]) -> pd.Series:
    """Merge the groups of each pair of members; a merged group has the first name in sorted order.

    Args:
        groups: group by member (the index).
    """
    names = sorted(set(groups))
    place = {name: number for number, name in enumerate(names)}
    ends = np.array([[place[groups[a]], place[groups[b]]] for a, b in pairs], dtype=int).reshape(-1, 2)
    links = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(names), len(names)))
    _, component = connected_components(links, directed=False)
    # names are sorted, so the first of a component is its smallest
    _, first = np.unique(component, return_index=True)
    return groups.map({name: names[first[component[number]]] for number, name in enumerate(names)})


def joint_credits(artists: pd.Series) -> pd.Series:
    """The group of each artist: a joint credit ("Lauryn Hill and Bob Marley") goes with each of its artists.

    Only with those that the data credit elsewhere, alone or jointly: "Earth, Wind & Fire" stays one group unless
    another artist is called Fire. Blanks stay blank.
    """
    credits = sorted(set(artists) - {""})
    parts = pd.DataFrame(
        [(credit, part) for credit in credits for part in {credit, *_BETWEEN_NAMES.split(credit)} - {""}],
        columns=["credit", "part"],
    )
    shared = parts[parts["part"].duplicated(keep=False)]
    members = sorted({*credits, *shared["part"]})
    group = join(pd.Series(members, index=members, dtype=object), shared.itertuples(index=False, name=None))
    return artists.map({"": "", **group})


def other(credit: str, group: str) -> str:
    """The credit where it is not the group's name."""
    return "" if credit == group else credit


def joined_by(credited: Iterable[str], group: str, most: int = 5) -> str:
    """The credits besides the group's own name that joined it, joint ones first; empty where there are none."""
    names = sorted(set(credited) - {"", group}, key=lambda name: (-len(name), name))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"joined by the credits {', '.join(map(repr, names[:most]))}{more}" if names else ""


def joint_majorities(table: pd.DataFrame) -> list[str]:
    """For each label of which joint credits joined most clips into one group: the group, its size, and these credits.

    Args:
        table: label, group and, where the source knows it, credit.
    """
    found = []
    for label, own in table.groupby("label") if "credit" in table else ():
        sizes = own.groupby("group").size()
        how = joined_by(table.loc[table["group"] == sizes.idxmax(), "credit"], sizes.idxmax())
        if how and sizes.max() >= MOST * len(own):
            found.append(f"{sizes.idxmax()!r} has {sizes.max()} of {len(own)} clips of {label!r}, {how}")
    return found


def unknown(label: str) -> str:
    """The group of all clips of a label without a known artist: they may be by one artist."""
    return f"unknown ({label})"
