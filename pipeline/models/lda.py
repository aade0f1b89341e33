"""Linear discriminant analysis with a shrunk covariance: few clips are enough for many columns, and nothing is tuned.

Fitted by scikit-learn; its coefficients become a linear layer, so that it is saved and run like every other model.
With a shrunk covariance, correlated columns count as independent evidence, so it is far overconfident, and the mean over
windows or members would be a vote. So its logits are divided by a temperature, fitted on valid.
"""

import torch
from torch import nn

from pipeline.config.models import Lda
from pipeline.evaluation.temperature import best
from pipeline.models import Rows
from pipeline.models.layers import fitted_linear, scaled


def fit(settings: Lda, train: Rows, valid: Rows, classes: int, seed: int) -> nn.Module:  # noqa: ARG001
    scale, columns = scaled(train.values)
    with torch.no_grad():
        valid = valid._replace(values=scale(torch.from_numpy(valid.values)).numpy())
    return nn.Sequential(scale, discriminant(settings.shrinkage, Rows(columns, train.targets), valid, classes))


def discriminant(shrinkage: float, train: Rows, valid: Rows, classes: int) -> nn.Linear:
    """Of columns that need no scaling."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(train.values, train.targets)
    overconfident = fitted_linear(lda.coef_, lda.intercept_, classes)
    with torch.no_grad():
        t = best(overconfident(torch.from_numpy(valid.values)).double().numpy(), valid.targets)
    return fitted_linear(lda.coef_ / t, lda.intercept_ / t, classes)
