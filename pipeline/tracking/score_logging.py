"""The scores of an evaluated experiment in its MLflow runs."""

from collections.abc import Mapping

import pandas as pd

from pipeline import tracking
from pipeline.config.project import BaseParams
from pipeline.evaluation import metrics
from pipeline.tracking import run_logging
from pipeline.training.answers import data_of
from pipeline.training.trials import Spec

LOGGED = [name for name, metric in metrics.METRICS.items() if metric.logged]
VALID = [f"valid_{name}" for name in LOGGED]
TEST = [f"test_{name}" for name in LOGGED]
SHOWN = [
    "valid_macro_f1",
    "valid_loss",
    "test_macro_f1",
    "test_macro_f1_low",
    "test_macro_f1_high",
    "test_accuracy",
    "test_ece",
]
"""The columns of `dvc metrics show`."""


def log(
    settings: BaseParams,
    key: str,
    run: tracking.Run,
    models: list[Spec],
    answers: pd.DataFrame,
    scores: Mapping[str, float],
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    """Each trial's own scores in its run, which is restored where the store does not know it; all trials' in ``run``.

    Args:
        tables: of the clips and of the split.
    """
    for model in models:
        own = answers[(answers["fold"] == model.fold) & (answers["seed"] == model.seed)]
        found = {**metrics.mean_scores(own, "valid"), **metrics.mean_scores(own, "test")}
        with run_logging.trial(settings, key, run, model.trial, model.run_id) as child:
            if child.restored:
                run_logging.restore(child, key, model.trial, data_of(model, *tables))
            # one step behind the last epoch: a table of runs shows the last step, which is then the delivered model
            epochs = len(run_logging.history(key, model.trial))
            child.log_metrics({name: found[name] for name in VALID}, step=epochs)
            child.log_metrics({name: found[name] for name in TEST})
    names = [*TEST, "test_macro_f1_low", "test_macro_f1_high"]
    if len(models) > 1:
        names += [*VALID, "test_macro_f1_sd"]
    run.log_metrics({name: scores[name] for name in names})
