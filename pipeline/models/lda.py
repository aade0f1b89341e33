"""Linear discriminant analysis with a shrunk covariance: few clips are enough for many columns, and nothing is tuned.

Fitted by scikit-learn; its coefficients become a linear layer, so that it is kept and run like every other model.
A shrunk covariance lets columns that say the same count as if each said something new, so it is far too sure of itself,
and the mean over windows or members would be a vote. So its logits are divided by a temperature, learned on valid.
"""

import torch
from torch import nn

from pipeline.config.models import Lda
from pipeline.evaluation.temperature import best
from pipeline.models import Rows
from pipeline.models.layers import fitted_linear, scaled


def fit(settings: Lda, train: Rows, valid: Rows, classes: int, seed: int) -> nn.Module:  # noqa: ARG001
    """Of columns in units of their own, which are standardised."""
    scale, columns = scaled(train.values)
    with torch.no_grad():
        chosen_by = scale(torch.from_numpy(valid.values)).numpy()
    train, valid = Rows(columns, train.targets), Rows(chosen_by, valid.targets)
    return nn.Sequential(scale, discriminant(settings.shrinkage, train, valid, classes))


def discriminant(shrinkage: float, train: Rows, valid: Rows, classes: int) -> nn.Linear:
    """Of columns as they are."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(train.values, train.targets)
    sure = fitted_linear(lda.coef_, lda.intercept_, classes)
    with torch.no_grad():
        t = best(sure(torch.from_numpy(valid.values)).double().numpy(), valid.targets)
    return fitted_linear(lda.coef_ / t, lda.intercept_ / t, classes)
