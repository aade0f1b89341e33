"""All scores of an experiment, from the predictions of all its trials."""

import pandas as pd

from pipeline.evaluation import bootstrap, calibration, metrics


def scores(answers: pd.DataFrame, seed: int) -> dict[str, float]:
    """Validation and test scores over all trials; those of the test set with 95 % intervals and calibration.

    Args:
        answers: predictions as in :mod:`pipeline.evaluation.metrics`, with ``group``, ``fold``, ``seed`` and the
            ``temperature`` of each trial.
        seed: of the bootstrap.
    """
    test = metrics.of_part(answers, "test")
    found = {**metrics.mean_scores(answers, "valid"), **metrics.mean_scores(answers, "test")}
    for name in bootstrap.METRICS:
        interval = bootstrap.interval(test, name, seed)
        found |= {f"test_{name}_low": interval.low, f"test_{name}_high": interval.high}
    by_trial = bootstrap.by_run(test)
    if len(by_trial) > 1:
        found["test_macro_f1_mean"] = float(by_trial["macro_f1"].mean())
        found["test_macro_f1_sd"] = float(by_trial["macro_f1"].std())
    return found | {
        "test_ece": calibration.ece(test),
        "test_ece_scaled": calibration.ece(calibration.tempered(test)),
        "temperature": float(test.groupby(["fold", "seed"])["temperature"].first().mean()),
    }
