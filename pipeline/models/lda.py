"""Linear discriminant analysis with a shrunk covariance: few clips are enough for many columns, and nothing is tuned.

What scikit-learn's ``LinearDiscriminantAnalysis(solver="lsqr", shrinkage=...)`` fits; but that decomposes the covariance
into singular values, which for 2744 columns takes twelve times as long as to solve for the few means that are needed. The
coefficients become a linear layer, so that it is saved and run like every other model.

With a shrunk covariance, correlated columns count as independent evidence, so it is far overconfident, and the mean over
windows or members would be a vote. So its logits are divided by a temperature, fitted to out-of-fold answers within train.
"""

import warnings

import numpy as np
from torch import nn

from pipeline.config.models import Lda
from pipeline.evaluation.temperature import Matrix, best
from pipeline.models import Rows
from pipeline.models.layers import fitted_linear, scaled

FOLDS = 4
"""In which the temperature is found, or as many as there are groups."""


def fit(settings: Lda, train: Rows, classes: int, seed: int) -> nn.Module:  # noqa: ARG001
    scale, columns = scaled(train.values)
    return nn.Sequential(scale, discriminant(settings.shrinkage, train._replace(values=columns), classes))


def discriminant(shrinkage: float, train: Rows, classes: int) -> nn.Linear:
    """Of columns that need no scaling."""
    coefficients, intercept = solved(shrinkage, train)
    t = _temperature(shrinkage, train, classes)
    return fitted_linear(coefficients / t, intercept / t, classes)


def _temperature(shrinkage: float, train: Rows, classes: int) -> float:
    """Without the rows of a label that the other folds lack; 1 where all rows are of one group."""
    from sklearn.model_selection import StratifiedGroupKFold

    count = min(FOLDS, len(np.unique(train.groups)), np.bincount(train.targets).max())
    if count < 2:
        return 1.0
    logits, held = np.zeros((len(train.targets), classes)), np.zeros(len(train.targets), dtype=bool)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        folds = list(StratifiedGroupKFold(count).split(train.values, train.targets, train.groups))
    for own, others in folds:
        coefficients, intercept = solved(shrinkage, Rows(*(column[own] for column in train)))
        known = np.unique(train.targets[own])
        logits[np.ix_(others, known)] = train.values[others] @ coefficients.T + intercept
        held[others] = np.isin(train.targets[others], known)
    return best(logits[held], train.targets[held])


def solved(shrinkage: float, rows: Rows) -> tuple[Matrix, Matrix]:
    """Coefficients (labels, columns) and intercepts of the labels that there are.

    The covariance is that within labels, with a ridge that is the same in every column. Where there are fewer rows
    than columns, a matrix of the rows' size is inverted instead (the Woodbury identity).
    """
    from scipy.linalg import lstsq, solve

    values = rows.values.astype(np.float64)
    _, label, counts = np.unique(rows.targets, return_inverse=True, return_counts=True)
    means = np.stack([values[label == one].mean(axis=0) for one in range(len(counts))])
    within = values - means[label]
    ridge = shrinkage * float((within**2).mean())
    within *= np.sqrt((1 - shrinkage) / len(values))
    if not ridge:
        coefficients = lstsq(within.T @ within, means.T)[0].T
    elif len(within) < within.shape[1]:
        gram = within @ within.T + ridge * np.eye(len(within))
        coefficients = (means - solve(gram, within @ means.T, assume_a="pos").T @ within) / ridge
    else:
        covariance = within.T @ within + ridge * np.eye(within.shape[1])
        coefficients = solve(covariance, means.T, assume_a="pos").T
    return coefficients, np.log(counts / len(values)) - (means * coefficients).sum(axis=1) / 2
