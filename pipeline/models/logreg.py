"""Logistic regression on the standardised tabular features: the reference a network has to beat.

Fitted by scikit-learn; its coefficients become a linear layer, so that it is saved and run like every other model.
"""

from torch import nn

from pipeline.config.models import LogReg
from pipeline.models import Rows
from pipeline.models.layers import fitted_linear, scaled


def fit(settings: LogReg, train: Rows, classes: int, seed: int) -> nn.Module:
    from sklearn.linear_model import LogisticRegression

    scale, columns = scaled(train.values)
    fitted = LogisticRegression(C=settings.c, max_iter=5000, random_state=seed).fit(columns, train.targets)
    return nn.Sequential(scale, fitted_linear(fitted.coef_, fitted.intercept_, classes))
