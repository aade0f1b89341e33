"""What each branch of a fusion is worth: the score of the fusion beside that of the same without the branch."""

from collections.abc import Mapping

import pandas as pd

from pipeline.evaluation import bootstrap

FUSION = "whole"
"""Key of the fusion with all its branches, among the branches that are left out."""


def table(answers: Mapping[str, pd.DataFrame], seed: int) -> pd.DataFrame:
    """branch, macro_f1 without it, and its worth: the difference to the fusion, with its 95 % interval (low, high).

    Args:
        answers: test predictions of the fusion (FUSION), and without each branch by the branch's name.
    """
    rows = []
    for name, without in answers.items():
        if name == FUSION:
            continue
        gain = bootstrap.difference(answers[FUSION], without, seed)
        score = bootstrap.interval(without, "macro_f1", seed).value
        rows.append({"branch": name, "macro_f1": score, "worth": gain.value, "low": gain.low, "high": gain.high})
    return pd.DataFrame(rows)
