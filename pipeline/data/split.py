"""Who is in train, valid and test: stratified by label, and no group is ever cut."""

from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import UserError
from pipeline.params import Split

Counts = np.ndarray[Any, np.dtype[np.int64]]

PARTS = ("train", "valid", "test")


class SplitError(UserError):
    """The data set has too few groups; the message says which label."""


def grouped(table: pd.DataFrame, settings: Split, seed: int) -> pd.DataFrame:
    """Split the good clips (clip_id, label, group) into one fold of train, valid and test.

    Groups are dealt out largest first, those of equal size in a seeded shuffle, each to the part that lacks
    most clips of its largest label. A group with several labels moves as one.

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
    """The part of each group; ``sizes`` counts clips by group and label."""
    clips = sizes.to_numpy()
    shares = [1 - settings.valid - settings.test, settings.valid, settings.test]
    need = np.outer(clips.sum(axis=0), shares)
    absent = np.ones(need.shape, dtype=bool)
    undealt = (clips > 0).sum(axis=0)
    part_of: dict[str, str] = {}
    for group in _order(clips, seed):
        own = clips[group]
        # a label with no more groups left than parts without it decides first, and for one of those parts
        urgent = (own > 0) & (undealt <= absent.sum(axis=1))
        label = int(np.argmax(np.where(urgent, own, 0) if urgent.any() else own))
        part = int(np.argmax(np.where(absent[label] | ~urgent[label], need[label], -np.inf)))
        part_of[str(sizes.index[group])] = PARTS[part]
        need[:, part] -= own
        absent[own > 0, part] = False
        undealt -= own > 0
    return part_of


def _order(clips: Counts, seed: int) -> Counts:
    """Rows in a seeded shuffle, then by size: the large groups first, while every part still has room."""
    shuffled = np.random.default_rng(seed).permutation(len(clips))
    return shuffled[np.argsort(-clips[shuffled].sum(axis=1), kind="stable")]


def _check(table: pd.DataFrame, rows: pd.DataFrame) -> None:
    found = table.merge(rows, on="clip_id").groupby("label")["part"].unique()
    for label, parts in found.items():
        lacking = [part for part in PARTS if part not in parts]
        if lacking:
            raise SplitError(
                f"label {label!r} has no clip in {' and '.join(lacking)}: its groups are too few or too unequal; "
                "add clips of other artists, or change split.valid and split.test"
            )
