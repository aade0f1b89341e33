"""The score to expect of the delivered model: its out-of-fold score, and what the folds' models lacked in training clips.

Out of k folds, each clip is answered by a model that has learned from the other k - 1, so the score is too low for the model
that is delivered, which learns from all of them. Burman (1989, A comparative study of ordinary cross-validation, v-fold
cross-validation and the repeated learning-testing methods, Biometrika 76(3)) adds the difference between the score on all clips
of a model that has learned from all, and of one that has learned from all but a fold's. Here the first is the score on clips that
a fold's model has learned from, so that what is added is a k-th of the way from the out-of-fold score to that one.
"""

import numpy as np
import pandas as pd

from pipeline.evaluation import bootstrap, metrics
from pipeline.evaluation.bootstrap import Interval


def expected(valid: pd.DataFrame, learned: pd.DataFrame, seed: int) -> Interval:
    """Macro F1 with its 95 % interval, which is that of the out-of-fold score, moved.

    Args:
        valid: predictions as in :mod:`pipeline.evaluation.bootstrap`.
        learned: the same for the clips of :func:`pipeline.data.split.learned_by`; none where nothing is cross-validated, and the
            score on validation is what is expected.
        seed: of the bootstrap.
    """
    found = bootstrap.interval(valid, "macro_f1", seed)
    gain = _gain(valid, learned) if len(learned) else 0.0
    return Interval(*np.clip([found.value + gain, found.low + gain, found.high + gain], 0.0, 1.0).tolist())


def _gain(valid: pd.DataFrame, learned: pd.DataFrame) -> float:
    """At least 0: more clips do no harm."""
    folds = valid.groupby("test_fold")["fold"].nunique().max()
    before, after = (
        metrics.mean_scores(rows.assign(part="valid"), "valid")["valid_macro_f1"] for rows in (valid, learned)
    )
    return max(0.0, after - before) / float(folds)
