"""What MLflow's pages show of an experiment: a description, and a saved view, the table of all models with their scores."""

import json

from pipeline.tracking import store
from pipeline.tracking.runs import EXPERIMENT, KIND, NOTE, connect, metric_name

KEY = "models"
"""Of the view, in its tag and its link."""
NAME = "Models by validation macro F1"
"""Of the view, in MLflow's menu of saved views."""
TAG = f"mlflow.sharedViewState.{KEY}"
SORTED_BY = "valid_macro_f1"
COLUMNS = {
    "attributes.`Run Name`": 130,
    "runDateAndNestInfo": 130,
    **{f"metrics.`{metric_name(name)}`": 105 for name in (SORTED_BY, "test_macro_f1", "test_accuracy")},
    "metrics.`cost/parameters`": 115,
    "metrics.`cost/latency_ms`": 115,
    "attributes.`Dataset`": 150,
    "duration": 80,
}
"""Of the table by MLflow's name, with the width in pixels; the second is called Created there."""
SECTIONS = ("valid", "test", "cost", "train")
"""Groups of metrics, in the order of the charts."""
ABOUT = """\
Models are compared by `valid/macro_f1`; `test/macro_f1` is how good they are on clips that decided nothing.

Each run trains one experiment of params.yaml; its folds and seeds are runs below it. `soundtrack ui` prints the link to \
the table of all models, which is also the saved view "Models by validation macro F1" (menu Views, in the mode Model \
training). The run `comparison` has the full report.
"""


def publish(experiment: str) -> str:
    """Save the view and the description in the experiment; returns the view's link below the server's address.

    Raises:
        TrackingError: the store cannot be used.
    """
    client = connect(experiment).MlflowClient()
    with store.required():
        known = client.get_experiment_by_name(experiment)
        # a description that a person wrote stays
        wanted = {TAG: _view()} | ({} if NOTE in known.tags else {NOTE: ABOUT})
        for key, value in wanted.items():
            if known.tags.get(key) != value:
                client.set_experiment_tag(known.experiment_id, key, value)
    return f"#/experiments/{known.experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={KEY}"


def _view() -> str:
    """As MLflow 3.17 writes a saved view."""
    state = {
        "searchFilter": f"tags.{KIND} = '{EXPERIMENT}'",
        "orderByKey": f"metrics.`{metric_name(SORTED_BY)}`",
        "orderByAsc": False,
        "selectedColumns": [name for name in COLUMNS if "`" in name],
        "columnOrder": list(COLUMNS),
        "columnWidths": COLUMNS,
        "compareRunCharts": [],  # MLflow adds those of all metrics
        "compareRunSections": [
            {"uuid": name, "name": name, "display": True, "isReordered": False} for name in SECTIONS
        ],
        "isAccordionReordered": True,
    }
    return json.dumps({"name": NAME, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})
