"""The view and the description that an experiment gets; what MLflow's pages make of them: tests/browser/test_mlflow.py."""

import json
import shutil
from pathlib import Path

import mlflow

from pipeline.tracking import views
from pipeline.tracking.runs import NOTE


def test_the_view_follows_the_code_and_the_description_a_person(checkout: Path, empty_store: Path) -> None:
    shutil.copy(empty_store, checkout)
    link = views.publish("music")
    client = mlflow.MlflowClient()
    made = client.get_experiment_by_name("music")
    assert link.startswith(f"#/experiments/{made.experiment_id}/runs?")
    saved = json.loads(made.tags[views.TAG])
    assert saved["name"] in made.tags[NOTE], "the description says where to find it"
    assert json.loads(saved["state"])["orderByKey"] == "metrics.`valid/macro_f1`"
    for key in (views.TAG, NOTE):
        client.set_experiment_tag(made.experiment_id, key, "other")
    assert views.publish("music") == link
    tags = client.get_experiment_by_name("music").tags
    assert (tags[views.TAG], tags[NOTE]) == (made.tags[views.TAG], "other")
