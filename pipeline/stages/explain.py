"""Show one trained model's most confident mistakes on the test set, and what its answers depend on."""

import pandas as pd

from pipeline import paths
from pipeline.data import clips, split
from pipeline.reports.model_page import model_page


def explain(key: str) -> None:
    folder = paths.EVALUATION / key
    model_page(
        key,
        pd.read_parquet(folder / "predictions.parquet"),
        paths.MODELS / key,
        clips.computed(),
        split.read(),
        paths.FEATURES,
        (folder / "confusion.png").read_bytes(),
        paths.MODEL_REPORTS / f"{key}.html",
    )
