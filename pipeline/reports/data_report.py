"""The data set as one HTML page: labels, groups and parts, examples to see and play, rejected clips, duplicates."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.base import files, paths
from pipeline.base.text import UNKNOWN, listed
from pipeline.data import clips, split
from pipeline.data.groups import joint_majorities
from pipeline.data.split import PARTS
from pipeline.features.store import Store
from pipeline.reports import data_figures, figures
from pipeline.reports.data_figures import NO_PART
from pipeline.reports.examples import PICTURES, SECONDS, Example, examples, floor
from pipeline.reports.pages import Picture, Table, data_uri, environment

EXAMPLES = 3
"""Of each label."""
MANY_LABELS = 20
"""With more labels there is one example of each."""
MOST_LABELS = 60
"""Labels after these have no examples."""
MOST_ROWS = 200
"""Of the tables of rejected clips and of duplicates."""
MOST_KINDS = 10
"""Origins or licences that are named."""


@dataclass(frozen=True)
class DataSet:
    clips: pd.DataFrame
    """The clips table, see :mod:`pipeline.data.clips`."""
    split: pd.DataFrame
    """``clip_id, fold, part``, without the good clips that a protocol leaves out."""
    duplicates: pd.DataFrame
    """Pairs of clips: ``first, second, kind, error_rate, shift_s, labels_differ``."""
    protocol: str
    """How the clips were split, as a sentence."""


def data_set(group: str) -> DataSet:
    """What the stages before left.

    Args:
        group: what the clips of one group have in common.
    """
    # a clip may be called NA, which pandas would read as a missing value
    missing = {"error_rate": [""], "shift_s": [""]}
    texts = dict.fromkeys(("first", "second", "kind"), "string")
    duplicates = pd.read_csv(paths.DUPLICATES, dtype=texts, keep_default_na=False, na_values=missing)
    rows = split.read()
    return DataSet(clips.computed(), rows, duplicates, split.explained(rows, group))


def data_report(data: DataSet, stores: Mapping[str, Store], seed: int, out: Path) -> None:
    """Write one HTML file that needs nothing from outside.

    Args:
        stores: by feature kind, all with frames of dB; an example has a picture from each.
        seed: decides which clips are the examples.
    """
    good = clips.good(data.clips)
    shown = sorted(good["label"].unique())[:MOST_LABELS]
    content = {
        **common(data, "clip"),
        "good": good,
        "count": count,
        "labels": _labels(good),
        "durations": _durations(good["duration_s"]),
        "links": {"Examples to see and hear": "#examples", "Comparison of the models": paths.COMPARISON.name},
        "examples": _examples(good[good["label"].isin(shown)], stores, seed),
        "without_examples": good["label"].nunique() - len(shown),
        "seconds": SECONDS,
        "floor": f"{floor(stores):g}",
        "scale": data_uri("image/png", data_figures.scale()),
        "kinds": [f"{PICTURES.get(kind, kind)} ({store.spec['bands']})" for kind, store in stores.items()],
        "duplicates": _duplicates(data.duplicates),
    }
    files.write_text(out, environment().get_template("data.html.j2").render(content))


def common(data: DataSet, thing: str) -> dict[str, Any]:
    """What the page of any data set shows. ``thing`` is what a page calls a file."""
    good = clips.good(data.clips)
    rejected = data.clips[data.clips["status"] == "rejected"]
    first = split.first(data.split)[["clip_id", "part"]]
    parted = good.merge(first, on="clip_id", how="left").fillna({"part": NO_PART})
    return {
        "source": ", ".join(sorted(data.clips["source"].unique())),
        "protocol": data.protocol,
        "origins": _kinds(good["origin"].str.split(" ").str[:4].str.join(" "), "origin", thing),
        "licences": _kinds(good["licence"], "licence", thing),
        "parts": _parts(parted, thing),
        "warnings": [*_warnings(parted), *(f"{one}." for one in joint_majorities(good))],
        "groups": Picture(
            "groups",
            f"Bars of {thing}s by label, cut into groups and coloured by part",
            f"Each segment is a group of {thing}s, or its share in one part; the largest come first.",
            figures.png(data_figures.groups(parted, thing)),
        ),
        "folds": data.split["test_fold"].nunique(),
        "rejected": _rejected(rejected, thing),
        "rejections": len(rejected),
        "audit": paths.AUDIT.as_posix(),
        "pairs": len(data.duplicates),
        "contradictions": int(data.duplicates["labels_differ"].astype(bool).sum()),
        "most_rows": MOST_ROWS,
    }


def _kinds(texts: pd.Series, name: str, thing: str) -> Table:
    """How often each text occurs, the most frequent ones first."""
    counts = texts.replace("", "not stated").value_counts().sort_index()
    counts = counts.sort_values(ascending=False, kind="stable")
    rows = [[text, f"{count:,}"] for text, count in counts.iloc[:MOST_KINDS].items()]
    if rest := len(counts) - len(rows):
        rows.append([f"{rest:,} others", f"{counts.iloc[MOST_KINDS:].sum():,}"])
    return Table([name, f"{thing}s"], "lr", rows)


def _labels(good: pd.DataFrame) -> Table:
    columns = ["label", "clips", "groups", "largest group", "its clips", "minutes", "median s", "min s", "max s"]
    rows = [_label(str(label), own) for label, own in good.groupby("label")]
    return Table(columns, "lrrlrrrrr", [*rows, _label("all", good)])


def _label(name: str, own: pd.DataFrame) -> list[str]:
    sizes, seconds = own.groupby("group").size(), own["duration_s"]
    return [
        name,
        f"{len(own):,}",
        f"{len(sizes):,}",
        sizes.idxmax() if sizes.max() > 1 else UNKNOWN,
        f"{sizes.max():,} ({sizes.max() / len(own):.0%})",
        f"{seconds.sum() / 60:,.1f}",
        *(f"{value:,.1f}" for value in (seconds.median(), seconds.min(), seconds.max())),
    ]


def _parts(parted: pd.DataFrame, thing: str) -> Table:
    """Clips and groups by label and part; a group that lies in several parts counts in each."""
    present = set(parted["part"])
    parts = [*PARTS, *({NO_PART} & present)]
    rows = []
    for label, own in [*parted.groupby("label"), ("all", parted)]:
        members = [own.loc[own["part"] == part, "group"] for part in parts]
        rows.append([str(label), *(f"{size:,}" for groups in members for size in (len(groups), groups.nunique()))])
    columns = [f"{part}: {what}" for part in parts for what in (f"{thing}s", "groups")]
    return Table(["label", *columns], "l" + "r" * len(columns), rows)


def _warnings(parted: pd.DataFrame) -> list[str]:
    """Labels that have one group in a part."""
    groups = parted.groupby(["label", "part"])["group"].nunique().unstack(fill_value=0)
    places = pd.Series(
        {str(label): tuple(part for part in PARTS if own.get(part) == 1) for label, own in groups.iterrows()}
    )
    return [
        f"{listed(_first(list(labels.index)))}: one group in {listed(parts)}."
        for parts, labels in places.groupby(places)
        if parts
    ]


def _first(labels: list[str]) -> list[str]:
    more = len(labels) - MOST_KINDS
    return labels if more <= 0 else [*labels[:MOST_KINDS], f"{more} more"]


def _durations(seconds: pd.Series) -> Picture | None:
    """None where all are the same."""
    if seconds.max() - seconds.min() < 0.05:
        return None
    figure = data_figures.durations(seconds)
    return Picture(
        "durations", "Histogram of the clips' durations", "Durations of all good clips.", figures.png(figure)
    )


def _examples(good: pd.DataFrame, stores: Mapping[str, Store], seed: int) -> dict[str, list[Example]]:
    """By label."""
    chosen = _chosen(good, seed)
    shown: dict[str, list[Example]] = {}
    for label, example in zip(chosen["label"], examples(chosen, stores), strict=True):
        shown.setdefault(label, []).append(example)
    return shown


def _chosen(good: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A few clips of each label, in the order of the labels, from as many groups as possible."""
    count = EXAMPLES if good["label"].nunique() <= MANY_LABELS else 1
    shuffled = good.sort_values("clip_id").sample(frac=1, random_state=seed)
    # the first of each group, then the second of each
    turn = shuffled.groupby(["label", "group"]).cumcount()
    few = shuffled.loc[turn.sort_values(kind="stable").index].groupby("label").head(count)
    return few.sort_values("label", kind="stable", ignore_index=True)


def _rejected(rejected: pd.DataFrame, thing: str) -> Table:
    """Each clip, or only the reasons if there are many."""
    if len(rejected) <= MOST_ROWS:
        rows = rejected.sort_values("clip_id")[["clip_id", "label", "reason"]].to_numpy().tolist()
        return Table([thing, "label", "reason"], "lll", rows)
    # the reason names the other file or the measured value after this
    reasons = rejected["reason"].str.replace(r"(?s)^identical to .*", f"identical to another {thing}", regex=True)
    return _kinds(reasons.str.split(":").str[0], "reason", thing)


def first_duplicates(pairs: pd.DataFrame) -> pd.DataFrame:
    """As many as a page lists, those with two labels first: one of them is wrong."""
    differ = pairs["labels_differ"].astype(bool)
    ordered = pairs.assign(labels_differ=differ).sort_values("labels_differ", ascending=False, kind="stable")
    return ordered.iloc[:MOST_ROWS]


def _duplicates(pairs: pd.DataFrame) -> Table:
    rows = [
        [
            pair.first,
            pair.second,
            pair.kind,
            figures.number(pair.error_rate),
            f"{pair.shift_s:+.2f}" if np.isfinite(pair.shift_s) else UNKNOWN,
            "yes" if pair.labels_differ else "no",
        ]
        for pair in first_duplicates(pairs).itertuples()
    ]
    return Table(["clip", "other clip", "kind", "bits that differ", "shift in s", "two labels"], "lllrrl", rows)


def count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")
