"""Linear discriminant analysis with a shrunk covariance: few clips are enough for many columns, and nothing is tuned.

Fitted by scikit-learn; its coefficients become a linear layer, so that it is saved and run like every other model.
With a shrunk covariance, correlated columns count as independent evidence, so it is far overconfident, and the mean over
windows or members would be a vote. So its logits are divided by a temperature, fitted to out-of-fold answers within train.
"""

from typing import Any

import numpy as np
from torch import nn

from pipeline.config.models import Lda
from pipeline.evaluation.temperature import best
from pipeline.models import Rows
from pipeline.models.layers import fitted_linear, scaled

FOLDS = 4
"""In which the temperature is found, or fewer for a label of fewer groups."""


def fit(settings: Lda, train: Rows, classes: int, seed: int) -> nn.Module:  # noqa: ARG001
    scale, columns = scaled(train.values)
    return nn.Sequential(scale, discriminant(settings.shrinkage, train._replace(values=columns), classes))


def discriminant(shrinkage: float, train: Rows, classes: int) -> nn.Linear:
    """Of columns that need no scaling."""
    lda = _fitted(shrinkage, train)
    t = _temperature(shrinkage, train, classes)
    return fitted_linear(lda.coef_ / t, lda.intercept_ / t, classes)


def _fitted(shrinkage: float, rows: Rows) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(rows.values, rows.targets)


def _temperature(shrinkage: float, train: Rows, classes: int) -> float:
    """1 where a label has a single group, so that nothing can be held out."""
    from sklearn.model_selection import StratifiedGroupKFold

    groups = min(len(np.unique(train.groups[train.targets == label])) for label in np.unique(train.targets))
    if groups < 2:
        return 1.0
    logits = np.zeros((len(train.targets), classes))
    for own, held_out in StratifiedGroupKFold(min(FOLDS, groups)).split(train.values, train.targets, train.groups):
        lda = _fitted(shrinkage, Rows(*(column[own] for column in train)))
        found = lda.decision_function(train.values[held_out])
        if found.ndim == 1:  # of two labels, the second against the first
            found = np.stack([np.zeros_like(found), found], axis=1)
        logits[np.ix_(held_out, lda.classes_)] = found
    return best(logits, train.targets)
