"""Who is in train, valid and test, under one of several protocols; every one starts from ``params.yaml``'s seed.

A protocol takes the good clips (clip_id, label, group) and gives the split table: clip_id, fold, part, and the protocol's
name, so that whoever reads the table says of it what was done. What is chosen, is chosen on valid; test is what the scores
of a report come from.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import paths
from pipeline.config.base import Medium
from pipeline.config.data import Split
from pipeline.data.sources.gtzan import lists
from pipeline.errors import UserError
from pipeline.files import whole

Counts = np.ndarray[Any, np.dtype[np.int64]]

PARTS = ("train", "valid", "test")
COLUMNS = ("clip_id", "fold", "part", "protocol")
FIRST = 60
"""Clips in a hundred that the tutorial trains on."""
log = logging.getLogger(__name__)


class SplitError(UserError):
    """The data set cannot be split as asked; the message says what it lacks."""


def split(table: pd.DataFrame, settings: Split, seed: int) -> pd.DataFrame:
    """The good clips under the protocol of ``settings``, with the columns of COLUMNS.

    Raises:
        SplitError: a label would be missing from a part, or the protocol is for another data set.
    """
    protocols = {"grouped": _grouped, "random": _random, "tutorial": _tutorial, "filtered": _filtered}
    rows = protocols[settings.protocol](table, settings, seed)
    _check(table, rows)
    return rows.assign(protocol=settings.protocol).sort_values(["fold", "clip_id"], ignore_index=True)


def write(rows: pd.DataFrame, file: Path = paths.SPLIT) -> None:
    with whole(file) as partial:
        rows[list(COLUMNS)].to_parquet(partial, index=False)


def read(file: Path = paths.SPLIT) -> pd.DataFrame:
    """
    Raises:
        SplitError: the table was made before it said its protocol.
    """
    rows = pd.read_parquet(file)
    missing = set(COLUMNS) - set(rows.columns)
    if missing:
        raise SplitError(
            f"{file} lacks the columns {sorted(missing)}: make it again with `dvc repro -f split`"
        )
    return rows


def protocol(rows: pd.DataFrame) -> str:
    """The name of the protocol that made this table."""
    (name,) = rows["protocol"].unique()
    return str(name)


LEAKY = {
    "random": "clips of one group are in several parts",
    "tutorial": "clips of one artist are in several parts, and so are repeated recordings",
    "first-to-train": "clips of one artist are in several parts, and so are repeated recordings",
}
"""Protocols whose scores are too optimistic, and why."""


def leaky(rows: pd.DataFrame) -> str | None:
    """Why scores on this split are too optimistic; None where they are not."""
    return LEAKY.get(protocol(rows))


GROUPS = {"sound": "artist, recording or piece", "picture": "picture and its near copies"}
"""What belongs together, in a data set of either medium."""


def explained(rows: pd.DataFrame, medium: Medium = "sound") -> str:
    """How this table was made, in a sentence, with a warning where its scores are too optimistic."""
    count = rows["fold"].nunique()
    folds = f"{count} folds, each clip a test clip once" if count > 1 else "one split"
    text = {
        "grouped": f"{folds}, stratified by label; all clips of one {GROUPS[medium]} stay in the same part",
        "random": f"{folds}, stratified by label, clip by clip",
        "tutorial": "GTZAN's clips 0 to 59 of each genre to train, 60 to 99 to test, as the tutorials do",
        "filtered": "GTZAN's fault-filtered, artist-aware split (Kereliuk, Sturm and Larsen 2015)",
        "first-to-train": f"of each label the first {FIRST} % of the clips by name to train, the others to test",
    }[protocol(rows)]
    warning = leaky(rows)
    return f"{protocol(rows)}: {text}." + (f" Leaky: {warning}." if warning else "")


def _grouped(table: pd.DataFrame, settings: Split, seed: int) -> pd.DataFrame:
    """Stratified by label, no group cut: one split, or k folds in which each clip is a test clip once.

    Groups are dealt out largest first, those of equal size in a seeded shuffle, each to the part that lacks
    most clips of its largest label. A group with several labels moves as one. With folds, the groups are dealt
    to the folds first, and those outside a fold's test part to train and valid.
    """
    sizes = pd.crosstab(table["group"], table["label"])
    _enough_groups(sizes, max(len(PARTS), settings.folds))
    if settings.folds == 1:
        part_of = _deal(sizes, [1 - settings.valid - settings.test, settings.valid, settings.test], seed)
        return _rows(table, 0, table["group"].map(part_of).map(dict(enumerate(PARTS))))
    fold_of = _deal(sizes, [1 / settings.folds] * settings.folds, seed)
    valid = settings.valid / (1 - 1 / settings.folds)
    folds = []
    for fold in range(settings.folds):
        outside = sizes[[fold_of[group] != fold for group in sizes.index]]
        part_of = _deal(outside, [1 - valid, valid], seed)
        part = table["group"].map(part_of).map(dict(enumerate(PARTS))).fillna("test")
        folds.append(_rows(table, fold, part))
    return pd.concat(folds)


def inner(table: pd.DataFrame, members: int, seed: int) -> pd.DataFrame:
    """Train and valid split again into folds, by the protocol that made them: each clip is once in valid, else in train.

    Args:
        table: of clips with their ``protocol``.

    Raises:
        SplitError: a label has fewer groups than ``members``.
    """
    if leaky(table):
        table = table.assign(group=table["clip_id"])
    sizes = pd.crosstab(table["group"], table["label"])
    _enough_groups(sizes, members)
    fold_of = table["group"].map(_deal(sizes, [1 / members] * members, seed))
    parts = [fold_of.eq(fold).map({True: "valid", False: "train"}) for fold in range(members)]
    rows = pd.concat([_rows(table, fold, part) for fold, part in enumerate(parts)])
    return rows.assign(protocol=protocol(table))


def _random(table: pd.DataFrame, settings: Split, seed: int) -> pd.DataFrame:
    """Stratified by label, clip by clip, as most published work on GTZAN does (Sturm 2013, arXiv:1306.1461).

    Leaky: clips of one artist, album or recording are on both sides, and a model that knows them scores.
    """
    return _grouped(table.assign(group=table["clip_id"]), settings, seed)


def _tutorial(table: pd.DataFrame, settings: Split, seed: int) -> pd.DataFrame:
    """GTZAN's first 60 clips of each genre to train, the other 40 to test, as the tutorials split it.

    Theirs has no valid part and chooses on test. Here valid is drawn from the 60, in the share ``split.valid``
    has among them, clip by clip. Leaky: GTZAN's artists stand in rows, and the cut goes through them.
    """
    ids = _gtzan_ids(table, "tutorial")
    first = table[ids.map(lists.number_of) < FIRST]
    sizes = pd.crosstab(first["clip_id"], first["label"])
    valid_of = _deal(sizes, [1 - settings.valid, settings.valid], seed)
    part = table["clip_id"].map(valid_of).map(dict(enumerate(PARTS))).fillna("test")
    _report_missing(ids, set(lists.filtered()))
    return _rows(table, 0, part)


def first_to_train(table: pd.DataFrame) -> pd.DataFrame:
    """The tutorial's own protocol, for clips of any source: of each label the first 60 % by name train, the others are
    valid and test at once.

    Of GTZAN's 100 clips of a genre the first 60 train, as there. On such a valid nothing may be chosen, and it is good for
    curves alone. Leaky: see LEAKY.

    Raises:
        SplitError: a label has too few clips for both sides.
    """
    ordered = table.sort_values("clip_id")
    clips = ordered.groupby("label")["clip_id"]
    learns = clips.cumcount() < clips.transform("size") * FIRST // 100
    parts = [("train", ordered[learns]), ("valid", ordered[~learns]), ("test", ordered[~learns])]
    rows = pd.concat([_rows(own, 0, pd.Series(part, own.index)) for part, own in parts], ignore_index=True)
    _check(table, rows)
    return rows.assign(protocol="first-to-train")


def _filtered(table: pd.DataFrame, settings: Split, seed: int) -> pd.DataFrame:  # noqa: ARG001 (the split is published)
    """GTZAN's fault-filtered, artist-aware split of 443, 197 and 290 clips.

    Kereliuk, Sturm and Larsen: Deep Learning and Music Adversaries, IEEE Trans. Multimedia 17(11), 2015. The 70
    clips that it leaves out are in no part.
    """
    ids = _gtzan_ids(table, "filtered")
    parts = lists.filtered()
    _report_missing(ids, {clip for clip, part in parts.items() if part != "excluded"})
    rows = _rows(table, 0, ids.map(parts))
    return rows[rows["part"] != "excluded"]


def _rows(table: pd.DataFrame, fold: int, part: pd.Series) -> pd.DataFrame:
    return pd.DataFrame({"clip_id": table["clip_id"], "fold": fold, "part": part})


def _gtzan_ids(table: pd.DataFrame, protocol: str) -> pd.Series:
    ids = table["clip_id"].map(lists.id_of)
    if ids.isna().any():
        odd = table.loc[ids.isna(), "clip_id"].iloc[0]
        raise SplitError(
            f"split.protocol {protocol!r} is for GTZAN, whose clips are named like blues.00012; {odd!r} is not: "
            "set split.protocol to grouped"
        )
    return ids


def _report_missing(ids: pd.Series, wanted: set[str]) -> None:
    missing = sorted(wanted - set(ids))
    if missing:
        log.warning("%d ids of the protocol are not in the data: %s", len(missing), ", ".join(missing))


def _enough_groups(sizes: pd.DataFrame, needed: int) -> None:
    spread = (sizes > 0).sum()
    poor = spread[spread < needed]
    if len(poor):
        named = ", ".join(f"{label!r} has {count}" for label, count in poor.items())
        raise SplitError(
            f"too few groups to have each label in every part without cutting a group: {named}, "
            f"{needed} are needed; add clips of other artists, correct the groups, ask for fewer split.folds or training.ensemble_size, or set split.protocol "
            "to random, whose scores are leaky"
        )


def _deal(sizes: pd.DataFrame, shares: Sequence[float], seed: int) -> dict[str, int]:
    """A number for each group, 0 to len(shares) - 1; ``sizes`` counts clips by group and label."""
    clips = sizes.to_numpy()
    need = np.outer(clips.sum(axis=0), shares)
    absent = np.ones(need.shape, dtype=bool)
    undealt = (clips > 0).sum(axis=0)
    part_of: dict[str, int] = {}
    for group in _order(clips, seed):
        own = clips[group]
        # a label with no more groups left than parts without it decides first, and for one of those parts
        urgent = (own > 0) & (undealt <= absent.sum(axis=1))
        label = int(np.argmax(np.where(urgent, own, 0) if urgent.any() else own))
        lacking = np.where(absent[label] | ~urgent[label], need[label], -np.inf)
        # of parts that lack as much, the emptiest: else one fold gets the largest group of every label
        level = np.flatnonzero(np.isclose(lacking, lacking.max()))
        part = int(level[np.argmax(need[:, level].sum(axis=0))])
        part_of[str(sizes.index[group])] = part
        need[:, part] -= own
        absent[own > 0, part] = False
        undealt -= own > 0
    return part_of


def _order(clips: Counts, seed: int) -> Counts:
    """Rows in a seeded shuffle, then by size: the large groups first, while every part still has room."""
    shuffled = np.random.default_rng(seed).permutation(len(clips))
    return shuffled[np.argsort(-clips[shuffled].sum(axis=1), kind="stable")]


def _check(table: pd.DataFrame, rows: pd.DataFrame) -> None:
    """Each label in each part of each fold: a model is trained, chosen and tested on all of them."""
    labelled = rows.merge(table[["clip_id", "label"]], on="clip_id")
    for fold, members in labelled.groupby("fold"):
        counts = pd.crosstab(members["label"], members["part"])
        counts = counts.reindex(index=sorted(table["label"].unique()), columns=list(PARTS), fill_value=0)
        for label, row in counts.iterrows():
            lacking = [part for part in PARTS if not row[part]]
            if lacking:
                raise SplitError(
                    f"label {label!r} has no clip in {' and '.join(lacking)} (fold {fold}): its groups are too few or "
                    "too unequal; add clips of other artists, or change split.valid, split.test and split.folds"
                )
