"""Who is in train, valid and test: stratified by label, and no group is ever cut."""

import numpy as np
import pandas as pd

from pipeline.errors import UserError
from pipeline.params import Split

PARTS = ("train", "valid", "test")


class SplitError(UserError):
    """The data set has too few groups; the message says which label."""


def grouped(table: pd.DataFrame, settings: Split, seed: int) -> pd.DataFrame:
    """Split the good clips (clip_id, label, group) into one fold of train, valid and test.

    Groups are dealt out label by label, largest first among those of equal rank in a seeded shuffle, each to the
    part that lacks most clips of that label. A group with several labels moves as one.

    Returns:
        clip_id, fold (0), part.

    Raises:
        SplitError: a label would be missing from a part.
    """
    sizes = pd.crosstab(table["group"], table["label"])
    spread = (sizes > 0).sum()
    poor = spread[spread < len(PARTS)]
    if len(poor):
        named = ", ".join(f"{label!r} has {count}" for label, count in poor.items())
        raise SplitError(
            f"too few groups to have each label in train, valid and test without cutting a group: {named}, "
            f"{len(PARTS)} are needed; add clips of other artists, or correct the groups"
        )
    part = _deal(sizes, settings, seed)
    rows = pd.DataFrame({"clip_id": table["clip_id"], "fold": 0, "part": table["group"].map(part)})
    _check(table, rows)
    return rows.sort_values("clip_id", ignore_index=True)


def _deal(sizes: pd.DataFrame, settings: Split, seed: int) -> dict[str, str]:
    shares = {"train": 1 - settings.valid - settings.test, "valid": settings.valid, "test": settings.test}
    wanted = pd.DataFrame({part: sizes.sum() * share for part, share in shares.items()})
    dealt = pd.DataFrame(0.0, index=wanted.index, columns=list(PARTS))
    part_of: dict[str, str] = {}
    for group in _order(sizes, seed):
        row = sizes.loc[group]
        label = row.idxmax()
        missing = dealt.columns[(dealt.loc[label] == 0)]
        open_groups = ((sizes[label] > 0) & ~sizes.index.isin(part_of)).sum()
        choices = missing if len(missing) >= open_groups else list(PARTS)
        need = (wanted - dealt).loc[label, choices]
        part = str(need.idxmax())
        part_of[str(group)] = part
        dealt[part] += row
    return part_of


def _order(sizes: pd.DataFrame, seed: int) -> list[str]:
    """Groups in a seeded shuffle, then by size: the large ones first, while every part still has room."""
    shuffled = sizes.sample(frac=1, random_state=np.random.default_rng(seed))
    return list(shuffled.sum(axis=1).sort_values(ascending=False, kind="stable").index)


def _check(table: pd.DataFrame, rows: pd.DataFrame) -> None:
    found = table.merge(rows, on="clip_id").groupby("label")["part"].unique()
    for label, parts in found.items():
        lacking = [part for part in PARTS if part not in parts]
        if lacking:
            raise SplitError(
                f"label {label!r} has no clip in {' and '.join(lacking)}: its groups are too few or too unequal; "
                "add clips of other artists, or change split.valid and split.test"
            )
