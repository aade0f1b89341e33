"""The split into train, valid and test, by one of several protocols, from the seed in ``params.yaml``.

A protocol takes the good clips (clip_id, label, group) and assigns them to train, valid and test. All choices are made on
valid; reported scores come from test. Where valid would be small (``split.folds: auto``), all clips outside test are
cross-validated instead: in each fold another part of them is valid, so that there is an out-of-fold answer for each; and in
a last fold, the refit, all of them train the model that is tested and delivered.

The split table has clip_id, fold, test_fold (the folds with the same test clips), part and protocol.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.base import paths
from pipeline.base.errors import UserError
from pipeline.base.files import atomic_write
from pipeline.config.data import Split
from pipeline.data import gtzan
from pipeline.data.groups import joint_majorities

PARTS = ("train", "valid", "test")
COLUMNS = ("clip_id", "fold", "test_fold", "part", "protocol")
FOLDS = 5
"""Of ``auto``, where there are as many groups."""
FEW_CLIPS, FEW_GROUPS = 300, 30
"""Of a validation part; with fewer, the clips outside test are cross-validated (docs/choice.md)."""
FIRST = 60
"""Clips in a hundred that the tutorial trains on: of GTZAN's, 0 to 59 of each genre."""
log = logging.getLogger(__name__)


class SplitError(UserError):
    """The data set cannot be split as asked; the message says what it lacks."""


def split(table: pd.DataFrame, settings: Split, seed: int) -> pd.DataFrame:
    """The split table of the good clips, with the columns of COLUMNS.

    Raises:
        SplitError: a label would be missing from a part, or the protocol is for another data set.
    """
    protocols = {"grouped": _grouped, "random": _random, "tutorial": _tutorial, "filtered": _filtered}
    if settings.protocol == "grouped":
        for joint in joint_majorities(table):
            log.warning("%s: see `soundtrack import --help`, --groups", joint)
    rows = protocols[settings.protocol](table, settings, seed).assign(protocol=settings.protocol)
    check(table, rows)
    each = [_cross_validated(table, own, settings, seed) for _, own in rows.groupby("fold")]
    starts = np.cumsum([0, *(own["fold"].nunique() for own in each)])
    rows = pd.concat(
        own.assign(fold=own["fold"] - own["fold"].min() + start, test_fold=number)
        for number, (own, start) in enumerate(zip(each, starts[:-1], strict=True))
    )
    return rows.sort_values(["fold", "clip_id"], ignore_index=True)


def _cross_validated(table: pd.DataFrame, rows: pd.DataFrame, settings: Split, seed: int) -> pd.DataFrame:
    """One split, or in its place the folds of its clips outside test, and the refit."""
    joined = rows.merge(table, on="clip_id")
    outside = joined[joined["part"] != "test"]
    count = _count(outside, settings) if settings.folds == "auto" else settings.folds
    if count == 1:
        return rows
    groups = grouped_by(outside).nunique()
    if settings.folds != "auto" and groups < count:
        raise SplitError(
            f"split.folds is {count}, and the clips outside test are of {groups} groups: lower it, or set it to auto"
        )
    folds = inner_folds(outside, count, seed)
    refit = rows.assign(fold=folds["fold"].max() + 1, part=rows["part"].where(rows["part"] == "test", "train"))
    return pd.concat([folds, refit])


def _count(outside: pd.DataFrame, settings: Split) -> int:
    """Of folds: FOLDS where the validation part is small, else 1."""
    valid = outside[outside["part"] == "valid"]
    if settings.published or (len(valid) >= FEW_CLIPS and grouped_by(outside)[valid.index].nunique() >= FEW_GROUPS):
        return 1
    return FOLDS


def grouped_by(table: pd.DataFrame) -> pd.Series:
    """What stays together: a leaky protocol splits clip by clip."""
    return table["clip_id" if leaky(table) else "group"]


def write(rows: pd.DataFrame, file: Path = paths.SPLIT) -> None:
    with atomic_write(file) as partial:
        rows[list(COLUMNS)].to_parquet(partial, index=False)


def read(file: Path = paths.SPLIT) -> pd.DataFrame:
    """
    Raises:
        SplitError: the table was made before it had a column for the protocol.
    """
    rows = pd.read_parquet(file)
    if missing := set(COLUMNS) - set(rows.columns):
        raise SplitError(f"{file} lacks the columns {sorted(missing)}: make it again with `dvc repro -f split`")
    return rows


def protocol(rows: pd.DataFrame) -> str:
    (name,) = rows["protocol"].unique()
    return str(name)


def first(rows: pd.DataFrame) -> pd.DataFrame:
    """Those of the first fold with test clips."""
    return rows[rows["fold"] == rows.loc[rows["part"] == "test", "fold"].min()]


def test_fold_of(rows: pd.DataFrame) -> pd.Series:
    """By fold."""
    return rows.drop_duplicates("fold").set_index("fold")["test_fold"]


def learned_by(rows: pd.DataFrame, fold: int) -> list[str]:
    """Training clips of a cross-validated fold: those that the next fold holds out, so that each clip is one of them in one
    fold; none where nothing is cross-validated, and of the refit."""
    own = rows[(rows["test_fold"] == test_fold_of(rows)[fold]) & (rows["part"] == "valid")]
    folds = sorted(own["fold"].unique())
    if fold not in folds or len(folds) == 1:
        return []
    following = folds[(folds.index(fold) + 1) % len(folds)]
    return own.loc[own["fold"] == following, "clip_id"].tolist()


LEAKY = {
    "random": "clips of one group are in several parts",
    "tutorial": "clips of one artist are in several parts, and so are repeated recordings",
    "first-to-train": "clips of one artist are in several parts, and so are repeated recordings",
}
"""Protocols that leak, so that scores are too optimistic, and why."""


def leaky(rows: pd.DataFrame) -> str | None:
    """Why scores on this split are too optimistic; None if they are not."""
    return LEAKY.get(protocol(rows))


def explained(rows: pd.DataFrame, group: str = "artist, recording or piece") -> str:
    """How the split was made, for a reader, with a warning if it leaks."""
    tests, folds = rows["test_fold"].nunique(), rows.loc[rows["part"] == "valid", "fold"].nunique()
    once = f"{tests} test folds, each clip a test clip once" if tests > 1 else "one test part"
    inner = f"; the clips outside test are cross-validated in {folds // tests} folds" if folds > tests else ""
    text = {
        "grouped": f"{once}, stratified by label; all clips of one {group} stay in the same part",
        "random": f"{once}, stratified by label, clip by clip",
        "tutorial": "GTZAN's clips 0 to 59 of each genre train, 60 to 99 test, as in the tutorials",
        "filtered": "GTZAN's fault-filtered, artist-aware split (Kereliuk, Sturm and Larsen 2015)",
    }[protocol(rows)]
    warning = leaky(rows)
    return f"{protocol(rows)}: {text}{inner}." + (f" Leaky: {warning}." if warning else "")


def in_words(rows: pd.DataFrame) -> str:
    """Clips by part."""
    tests, counts = rows["test_fold"].nunique(), first(rows)["part"].value_counts()
    folds = rows.loc[rows["part"] == "valid", "fold"].nunique() // tests
    text = f"{', '.join(f'{part} {counts[part]}' for part in PARTS if part in counts)} clips"
    text += f"; the training clips are cross-validated in {folds} folds" if folds > 1 else ""
    return f"{text}, the first of {tests} test folds" if tests > 1 else text


def _grouped(table: pd.DataFrame, settings: Split, seed: int) -> pd.DataFrame:
    """Stratified by label, each group in one part: one split, or k in which each clip is a test clip once.

    With test folds, groups are assigned to them first; then the groups outside a fold's test part to train and valid.
    """
    sizes = _sizes(table)
    _enough_groups(sizes, max(len(PARTS), settings.test_folds), table)
    if settings.test_folds == 1:
        shares = [1 - settings.valid - settings.test, settings.valid, settings.test]
        return _rows(table, 0, _parts(table["group"], sizes, shares, seed))
    fold_of = _assign_groups(sizes, [1 / settings.test_folds] * settings.test_folds, seed)
    valid = settings.valid / (1 - 1 / settings.test_folds)
    folds = []
    for fold in range(settings.test_folds):
        outside = sizes[[fold_of[group] != fold for group in sizes.index]]
        folds.append(_rows(table, fold, _parts(table["group"], outside, [1 - valid, valid], seed)))
    return pd.concat(folds)


def inner_folds(table: pd.DataFrame, folds: int, seed: int) -> pd.DataFrame:
    """Split into folds, or as many as there are groups: each clip is in valid once, else in train.

    A label of few groups is in train of every fold, and not in every valid: answers to valid are to be scored together.

    Args:
        table: clips with their ``protocol``; a leaky one splits clip by clip here too.

    Raises:
        SplitError: a label has one group alone.
    """
    table = table.assign(group=grouped_by(table))
    sizes = _sizes(table)
    _enough_groups(sizes, 2, table)
    folds = min(folds, len(sizes))
    fold_of = table["group"].map(_assign_groups(sizes, [1 / folds] * folds, seed))
    names = {True: "valid", False: "train"}
    rows = pd.concat([_rows(table, fold, fold_of.eq(fold).map(names)) for fold in range(folds)])
    check(table, rows, ["train"])
    return rows.assign(protocol=protocol(table))


def _random(table: pd.DataFrame, settings: Split, seed: int) -> pd.DataFrame:
    """Stratified by label, clip by clip, as most published work on GTZAN does (Sturm 2013, arXiv:1306.1461).

    Leaky: clips of one artist, album or recording are in train and in test.
    """
    return _grouped(table.assign(group=table["clip_id"]), settings, seed)


def _tutorial(table: pd.DataFrame, settings: Split, seed: int) -> pd.DataFrame:
    """GTZAN's first 60 clips of each genre train, the other 40 test, as the tutorials split it.

    They choose on test and have no valid. Here valid is drawn from the 60, clip by clip, with the share
    ``split.valid``. Leaky: GTZAN's clips are sorted by artist, and the cut falls within an artist.
    """
    ids = _gtzan_ids(table, "tutorial")
    first = table[ids.map(gtzan.number_of) < FIRST]
    sizes = _sizes(first.assign(group=first["clip_id"]))
    _report_missing(ids, set(gtzan.filtered()))
    return _rows(table, 0, _parts(table["clip_id"], sizes, [1 - settings.valid, settings.valid], seed))


def _filtered(table: pd.DataFrame, settings: Split, seed: int) -> pd.DataFrame:  # noqa: ARG001 (the split is published)
    """GTZAN's fault-filtered, artist-aware split of 443, 197 and 290 clips.

    Kereliuk, Sturm and Larsen: Deep Learning and Music Adversaries, IEEE Trans. Multimedia 17(11), 2015. It leaves out
    70 clips.
    """
    ids = _gtzan_ids(table, "filtered")
    parts = gtzan.filtered()
    _report_missing(ids, {clip for clip, part in parts.items() if part != "excluded"})
    rows = _rows(table, 0, ids.map(parts))
    return rows[rows["part"] != "excluded"]


def _rows(table: pd.DataFrame, fold: int, part: pd.Series) -> pd.DataFrame:
    return pd.DataFrame({"clip_id": table["clip_id"], "fold": fold, "part": part})


def _gtzan_ids(table: pd.DataFrame, protocol: str) -> pd.Series:
    ids = table["clip_id"].map(gtzan.id_of)
    if ids.isna().any():
        odd = table.loc[ids.isna(), "clip_id"].iloc[0]
        raise SplitError(
            f"split.protocol {protocol!r} is for GTZAN, whose clips are named like blues.00012; {odd!r} is not: "
            "set split.protocol to grouped"
        )
    return ids


def _report_missing(ids: pd.Series, wanted: set[str]) -> None:
    if missing := sorted(wanted - set(ids)):
        log.warning("%d ids of the protocol are not in the data: %s", len(missing), ", ".join(missing))


def _enough_groups(sizes: pd.DataFrame, needed: int, table: pd.DataFrame) -> None:
    spread = (sizes > 0).sum()
    if len(poor := spread[spread < needed]):
        named = ", ".join(f"{label!r} has {count}" for label, count in poor.items())
        joint = "; ".join(joint_majorities(table[table["label"].isin(poor.index)]))
        raise SplitError(
            f"too few groups to have each label in every part: {named}, {needed} are needed (all clips of one artist, "
            f"recording or piece stay in the same part){f'; {joint}' if joint else ''}; add clips of other artists, correct the groups, lower split.folds, "
            "split.test_folds or training.ensemble_size, set training.monitor to null, or set split.protocol to random, which leaks"
        )


def _sizes(table: pd.DataFrame) -> pd.DataFrame:
    """Clips by group and label; pandas' own crosstab takes ten times as long for many groups."""
    return table.groupby(["group", "label"]).size().unstack(fill_value=0)


def _parts(groups: pd.Series, sizes: pd.DataFrame, shares: Sequence[float], seed: int) -> pd.Series:
    """The part of each clip by its group; ``test`` for groups that are not in ``sizes``."""
    part_of = _assign_groups(sizes, shares, seed)
    return groups.map(part_of).map(dict(enumerate(PARTS))).fillna("test")


def _assign_groups(sizes: pd.DataFrame, shares: Sequence[float], seed: int) -> dict[str, int]:
    """A part, 0 to len(shares) - 1, for each group; ``sizes`` counts clips by group and label.

    Groups come largest first, while every part still has room, equal ones in a seeded shuffle; each to the part that
    lacks most clips of the group's largest label.
    """
    clips, names = sizes.to_numpy(), sizes.index.tolist()
    need = np.outer(shares, clips.sum(axis=0))
    absent = [set(range(len(shares))) for _ in sizes.columns]
    remaining = (clips > 0).sum(axis=0).tolist()
    part_of: dict[str, int] = {}
    rows, columns = np.nonzero(clips)
    present = list(zip(columns.tolist(), clips[rows, columns].tolist(), strict=True))
    ends = np.searchsorted(rows, range(len(clips) + 1)).tolist()
    shuffled = np.random.default_rng(seed).permutation(len(clips))
    for group in shuffled[np.argsort(-clips[shuffled].sum(axis=1), kind="stable")]:
        # in plain lists: numpy takes ten times as long for so few numbers
        own = dict(present[ends[group] : ends[group + 1]])
        # a label with no more groups left than parts without it decides first, and for one of those parts
        urgent = [label for label in own if remaining[label] <= len(absent[label])]
        label = max(urgent or own, key=own.__getitem__)
        needs = need[:, label].tolist()
        open_to = sorted(absent[label]) if urgent else range(len(shares))
        most = max(needs[part] for part in open_to)
        # of parts that lack as much (as np.isclose has it), the emptiest: else one fold gets the largest group of every label
        level = [part for part in open_to if most - needs[part] <= 1e-8 + 1e-5 * abs(most)]
        part = level[int(np.argmax(need[level].sum(axis=1)))] if len(level) > 1 else level[0]
        part_of[str(names[group])] = part
        for label, count in own.items():
            need[part, label] -= count
            absent[label].discard(part)
            remaining[label] -= 1
    return part_of


def check(table: pd.DataFrame, rows: pd.DataFrame, parts: Sequence[str] = PARTS) -> None:
    """
    Raises:
        SplitError: a label is missing from one of the parts of a fold.
    """
    labelled = rows.merge(table[["clip_id", "label"]], on="clip_id")
    for fold, members in labelled.groupby("fold"):
        counts = pd.crosstab(members["label"], members["part"])
        counts = counts.reindex(index=sorted(table["label"].unique()), columns=list(parts), fill_value=0)
        for label, row in counts.iterrows():
            if lacking := [part for part in parts if not row[part]]:
                raise SplitError(
                    f"label {label!r} has no clip in {' and '.join(lacking)} (fold {fold}): its groups are too few or "
                    "of too unequal size; add clips of other artists, or change split.valid, split.test, split.folds or split.test_folds"
                )
