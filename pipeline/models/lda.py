"""Linear discriminant analysis with a shrunk covariance: few clips are enough for many columns, and nothing is tuned.

Fitted by scikit-learn; its coefficients become a linear layer, so that it is kept and run like every other model.
A shrunk covariance lets columns that say the same count as if each said something new, so it is far too sure of itself,
and the mean over windows or members would be a vote. So its logits are divided by a temperature, learned on valid.
"""

import torch
from torch import nn

from pipeline.models import Rows
from pipeline.models.layers import fitted_linear, scaled
from pipeline.models.temperature import best
from pipeline.params import Lda


def fit(settings: Lda, train: Rows, valid: Rows, classes: int, seed: int) -> nn.Module:  # noqa: ARG001
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    scale, columns = scaled(train.values)
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=settings.shrinkage).fit(columns, train.targets)
    sure = nn.Sequential(scale, fitted_linear(lda.coef_, lda.intercept_, classes))
    with torch.no_grad():
        t = best(sure(torch.from_numpy(valid.values)).double().numpy(), valid.targets)
    return nn.Sequential(scale, fitted_linear(lda.coef_ / t, lda.intercept_ / t, classes))
