"""The order of models in every table and figure."""

import math
from collections.abc import Mapping


def ranked(key: str, scores: Mapping[str, float]) -> tuple[float, float, str]:
    """Key to sort models by, best first: validation macro F1, of equals validation loss, then the key.

    A score that is not finite is worse than any other.
    """
    f1, loss = scores["valid_macro_f1"], scores["valid_loss"]
    return (-f1 if math.isfinite(f1) else math.inf, loss if math.isfinite(loss) else math.inf, key)
