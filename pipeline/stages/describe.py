"""Show the data set as one HTML page: labels, groups, parts, examples to see and play, and rejected clips."""

import pandas as pd

from pipeline import config, paths
from pipeline.config.project import Params
from pipeline.data import clips, split
from pipeline.features.store import Store
from pipeline.reports.data_report import DataSet, data_report
from pipeline.reports.picture_report import picture_report


def describe(settings: Params) -> None:
    rows = split.read()
    data = DataSet(
        clips=clips.computed(),
        split=rows,
        duplicates=_duplicates(),
        protocol=split.explained(rows, settings.medium),
    )
    if settings.medium == "picture":
        picture_report(data, Store(paths.FEATURES / "image"), settings.seed, paths.DATA_REPORT)
    else:
        stores = {kind: Store(paths.FEATURES / kind) for kind in config.ALIGNED}
        data_report(data, stores, settings.seed, paths.DATA_REPORT)


def _duplicates() -> pd.DataFrame:
    """A clip may be called NA, which pandas would take for a missing value."""
    missing = {"error_rate": [""], "shift_s": [""]}
    texts = dict.fromkeys(("first", "second", "kind"), "string")
    return pd.read_csv(paths.DUPLICATES, dtype=texts, keep_default_na=False, na_values=missing)
