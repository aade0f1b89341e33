"""The tutorial's own split, for clips of any source."""

import pandas as pd

from pipeline.data.split import FIRST, check


def first_to_train(table: pd.DataFrame) -> pd.DataFrame:
    """Of each label the first 60 % of the clips by name train; the others are valid and test at once.

    Of GTZAN's 100 clips of a genre these are the first 60, as in the tutorial. Nothing may be chosen on such a valid: it
    is for curves alone. Leaky: see :data:`pipeline.data.split.LEAKY`.

    Raises:
        SplitError: a label has too few clips for both parts.
    """
    ordered = table.sort_values("clip_id")
    clips = ordered.groupby("label")["clip_id"]
    train = clips.cumcount() < clips.transform("size") * FIRST // 100
    parts = {"train": ordered[train], "valid": ordered[~train], "test": ordered[~train]}
    rows = pd.concat([own[["clip_id"]].assign(fold=0, part=part) for part, own in parts.items()], ignore_index=True)
    check(table, rows)
    return rows.assign(protocol="first-to-train")
