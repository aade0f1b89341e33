"""Logistic regression on the standardised tabular features: the reference a network has to beat.

Fitted by scikit-learn; its coefficients become a linear layer, so that it is kept and run like every other model.
"""

from torch import nn

from pipeline.models import Array
from pipeline.models.layers import fitted_linear, scaled
from pipeline.params import LogReg


def fit(settings: LogReg, values: Array, targets: Array, classes: int, seed: int) -> nn.Module:
    from sklearn.linear_model import LogisticRegression

    scale, columns = scaled(values)
    fitted = LogisticRegression(C=settings.c, max_iter=5000, random_state=seed).fit(columns, targets)
    return nn.Sequential(scale, fitted_linear(fitted.coef_, fitted.intercept_, classes))
