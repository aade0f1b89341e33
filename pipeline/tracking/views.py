"""What MLflow's pages show of an experiment: a description, and a saved view, the table of all models with their scores."""

import json
from typing import Any

from pipeline.tracking.runs import EXPERIMENT, KIND, NOTE, connect, metric_name

KEY = "models"
"""Of the view, in its tag and its link."""
NAME = "Models by validation macro F1"
"""Of the view, in MLflow's menu of saved views."""
TAG = f"mlflow.sharedViewState.{KEY}"
CHOSEN_BY = "valid_macro_f1"
SHOWN = (
    CHOSEN_BY,
    "test_macro_f1",
    "test_accuracy",
    "test_loss",
    "cost/train_seconds",
    "cost/parameters",
    "cost/latency_ms",
)
WIDTH = 110
"""Pixels of a column."""
ABOUT = """\
Each run trains one experiment of params.yaml; runs below it are its folds and seeds. Models are compared by \
`valid/macro_f1`, macro F1 on the validation set, and reported by `test/macro_f1`. `soundtrack ui` prints the link to \
their table, which is also the saved view "Models by validation macro F1". The run `comparison` has the full report.
"""


def publish(experiment: str) -> str:
    """Save the view and the description in the experiment; returns the view's link below the server's address.

    Raises:
        TrackingError: the server does not answer.
    """
    client = connect(experiment).MlflowClient()
    known = client.get_experiment_by_name(experiment)
    # a description that a person wrote stays
    wanted = {TAG: _view()} | ({} if NOTE in known.tags else {NOTE: ABOUT})
    for key, value in wanted.items():
        if known.tags.get(key) != value:
            client.set_experiment_tag(known.experiment_id, key, value)
    return f"#/experiments/{known.experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={KEY}"


def _view() -> str:
    """As MLflow 3.17 writes a saved view."""
    columns = [f"metrics.`{metric_name(name)}`" for name in SHOWN]
    state: dict[str, Any] = {
        "searchFilter": f"tags.{KIND} = '{EXPERIMENT}'",
        "orderByKey": columns[0],
        "orderByAsc": False,
        "selectedColumns": [*columns, "attributes.`Dataset`"],
    }
    return json.dumps({"name": NAME, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})
