"""Linear discriminant analysis with a shrunk covariance: few clips are enough for many columns, and nothing is tuned.

Fitted by scikit-learn; its coefficients become a linear layer, so that it is kept and run like every other model.
"""

from torch import nn

from pipeline.models import Array
from pipeline.models.layers import fitted_linear, scaled
from pipeline.params import Lda


def fit(settings: Lda, values: Array, targets: Array, classes: int, seed: int) -> nn.Module:  # noqa: ARG001
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    scale, columns = scaled(values)
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=settings.shrinkage).fit(columns, targets)
    return nn.Sequential(scale, fitted_linear(lda.coef_, lda.intercept_, classes))
