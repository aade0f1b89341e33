"""Logistic regression on the standardised tabular features: the reference a network has to beat.

Fitted by scikit-learn; its coefficients become a linear layer, so that it is kept and run like every other model.
"""

import torch
from torch import nn

from pipeline.models import Array, Input
from pipeline.models.layers import Standardise
from pipeline.params import LogReg


def fit(settings: LogReg, values: Array, targets: Array, classes: int, seed: int) -> nn.Module:
    from sklearn.linear_model import LogisticRegression

    table = Input((values.shape[1],), values.mean(axis=0), values.std(axis=0))
    scale = Standardise(table)
    with torch.no_grad():
        scaled = scale(torch.from_numpy(values)).numpy()
    fitted = LogisticRegression(C=settings.c, max_iter=5000, random_state=seed).fit(scaled, targets)
    coefficients, intercept = fitted.coef_, fitted.intercept_
    linear = nn.Linear(values.shape[1], classes)
    with torch.no_grad():
        if classes == 2:
            # scikit-learn keeps one row for two classes: the log odds of the second against the first
            linear.weight[0], linear.bias[0] = 0.0, 0.0
            linear.weight[1], linear.bias[1] = torch.from_numpy(coefficients[0]), float(intercept[0])
        else:
            linear.weight.copy_(torch.from_numpy(coefficients))
            linear.bias.copy_(torch.from_numpy(intercept))
    return nn.Sequential(scale, linear)
