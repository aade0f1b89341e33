"""The scores of an evaluated experiment: which are logged, and those of each trial in its MLflow run."""

import pandas as pd

from pipeline import tracking
from pipeline.base import paths
from pipeline.config.project import BaseParams
from pipeline.evaluation import metrics
from pipeline.tracking import run_logging
from pipeline.training.answers import data_of
from pipeline.training.trials import specs

LOGGED = [name for name, metric in metrics.METRICS.items() if metric.logged]
VALID = [f"valid_{name}" for name in LOGGED]
TEST = [f"test_{name}" for name in LOGGED]
INTERVAL = ["test_macro_f1_low", "test_macro_f1_high"]
SHOWN = ["valid_macro_f1", "valid_loss", "test_macro_f1", *INTERVAL, "test_accuracy", "test_ece"]
"""The columns of `dvc metrics show`."""


def log_trials(
    settings: BaseParams, key: str, run: tracking.Run, predicted: pd.DataFrame, table: pd.DataFrame, rows: pd.DataFrame
) -> None:
    """Each trial's own scores in its run, which is restored where the store does not know it."""
    for model in specs(paths.MODELS / key):
        own = predicted[(predicted["fold"] == model.fold) & (predicted["seed"] == model.seed)]
        found = {**metrics.mean_scores(own, "valid"), **metrics.mean_scores(own, "test")}
        with run_logging.trial(settings, key, run, model.trial, model.run_id) as child:
            if child.restored:
                run_logging.restore(child, key, model.trial, data_of(model, table, rows))
            # one step behind the last epoch: a table of runs shows the last step, which is then the delivered model
            epochs = len(run_logging.history(key, model.trial))
            child.log_metrics({name: found[name] for name in VALID}, step=epochs)
            child.log_metrics({name: found[name] for name in TEST})
