"""A run on MLflow's server with PostgreSQL and an object store, and DVC's remotes in S3 and by SSH: all of it real."""

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import documented
import pytest
from checkouts import CLIPS, NOTHING, begin, commit, edit_params, environment, link_environment, make_music, ran, run
from documented import Typed
from lab import ADD, ADD_SSH, CLONE, COMMANDS, ENDPOINT, FETCH, PULL, PUSH, PUSH_SSH, REPRO, SYNC, UPDATE
from mlflow import MlflowClient
from processes import wait_until
from services import KEYS, MISSING, PASSWORD, Program, mlflow_server, object_store, postgresql, ssh_server

from pipeline.base import paths
from pipeline.data import clips

boto3 = pytest.importorskip("boto3", reason=MISSING)
for package in ("dvc_s3", "dvc_ssh", "psycopg"):
    pytest.importorskip(package, reason=MISSING)

EXPERIMENTS = ("logreg", "mlp")


@dataclass(frozen=True)
class Lab:
    server: Program
    address: str
    """Of MLflow's server."""
    store: str
    checkout: Path
    """After a run on the server."""
    typed: Typed

    def client(self) -> MlflowClient:
        return MlflowClient(self.address, self.address)

    def bucket(self) -> Any:
        """A client of the object store."""
        keys = {"aws_access_key_id": "soundtrack", "aws_secret_access_key": PASSWORD}
        return boto3.client("s3", endpoint_url=self.store, region_name="us-east-1", **keys)

    def runs(self) -> dict[str, Any]:
        """The last of each name."""
        found = self.client().search_runs([one.experiment_id for one in self.client().search_experiments()])
        return {one.info.run_name: one for one in reversed(found)}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    assert set(COMMANDS) <= documented.fenced().keys()
    top, typed = tmp_path_factory.mktemp("lab"), Typed(COMMANDS)
    with postgresql("mlflow") as database, object_store(top) as store:
        server = mlflow_server(top, database, store)
        with server:
            address = f"http://127.0.0.1:{(top / 'port').read_text()}"
            checkout = begin(top)
            edit_params(checkout, _few)
            typed(checkout, ADD, ENDPOINT, instead={"http://<server>:8333": store})
            commit(checkout, "a remote")
            typed(checkout, REPRO, instead={"http://<server>:5000": address})
            commit(checkout, "results")
            yield Lab(server, address, store, checkout, typed)


def _few(content: dict[str, Any]) -> None:
    content["experiments"] = {key: content["experiments"][key] for key in EXPERIMENTS}
    content["leak"] = []


def _cloned(lab: Lab, folder: Path, remote: str, variables: Mapping[str, str]) -> str:
    """What a second person sees who clones, pulls and runs."""
    lab.typed(folder, CLONE, instead={"<repository>": str(lab.checkout)})
    link_environment(folder / "music")
    run(folder / "music", "dvc", "remote", "default", remote)
    return lab.typed(folder / "music", PULL, variables={"MLFLOW_TRACKING_URI": lab.address, **variables})


def test_every_run_artifact_and_model_is_on_the_server(lab: Lab) -> None:
    client, runs = lab.client(), lab.runs()
    assert {*EXPERIMENTS, "comparison"} <= set(runs)
    assert all(one.info.status == "FINISHED" for one in runs.values())
    for key in EXPERIMENTS:
        assert runs[key].info.artifact_uri.startswith("mlflow-artifacts:")
        assert {"confusion.png", f"{key}.html", "per_class.json"} <= {
            one.path for one in client.list_artifacts(runs[key].info.run_id)
        }
        assert runs[key].outputs.model_outputs
    champion = client.get_model_version_by_alias("soundtrack", "champion")
    assert champion.run_id in {runs[key].info.run_id for key in EXPERIMENTS}
    kept = [
        one["Key"]
        for page in lab.bucket().get_paginator("list_objects_v2").paginate(Bucket="mlflow")
        for one in page.get("Contents", [])
    ]
    assert sum(name.endswith("model.onnx") for name in kept) >= len(EXPERIMENTS)
    assert not (lab.checkout / "mlflow.db").exists()
    assert not (lab.checkout / "mlartifacts").exists()


def test_a_clone_pulls_from_s3_and_has_nothing_to_do_and_the_same_champion(lab: Lab, tmp_path: Path) -> None:
    lab.typed(lab.checkout, PUSH, instead={"<password>": PASSWORD})
    output = _cloned(lab, tmp_path, "store", KEYS)
    assert ran(output) == []
    assert NOTHING in output
    make_music(tmp_path / "Music", clips=1)
    told = run(
        tmp_path / "music",
        "soundtrack",
        "classify",
        str(tmp_path / "Music"),
        variables={"MLFLOW_TRACKING_URI": lab.address},
    )
    assert "Model: models:/soundtrack/1 (" in told


def test_a_clone_pulls_by_ssh(lab: Lab, tmp_path: Path) -> None:
    with ssh_server(tmp_path) as (port, key):
        place = f"ssh://127.0.0.1:{port}{tmp_path}/store"
        lab.typed(lab.checkout, ADD_SSH, instead={"ssh://<user>@<server>/<folder>": place})
        run(lab.checkout, "dvc", "remote", "modify", "near", "keyfile", str(key))
        lab.typed(lab.checkout, PUSH_SSH)
        run(lab.checkout, "git", "commit", "--quiet", "-am", "a remote by SSH")
        output = _cloned(lab, tmp_path, "near", {})
    assert ran(output) == []
    assert NOTHING in output


def test_music_in_a_bucket_is_fetched_and_so_is_what_is_new(lab: Lab, tmp_path: Path) -> None:
    def upload(folder: Path, clips: int) -> None:
        make_music(folder, clips)
        for file in folder.rglob("*.wav"):
            lab.bucket().upload_file(str(file), "dvc", f"songs/{file.parent.name}/{file.name}")

    def good(checkout: Path) -> int:
        run(checkout, "dvc", "repro", "--quiet", "audit")
        return len(clips.good(clips.read(checkout / paths.CLIPS)))

    lab.typed(tmp_path, CLONE, instead={"<repository>": str(lab.checkout)})
    checkout, keys = tmp_path / "music", {**KEYS, "AWS_ENDPOINT_URL": lab.store}
    link_environment(checkout)
    (checkout / "data/music.dvc").unlink()
    upload(tmp_path / "songs", CLIPS)
    lab.typed(checkout, FETCH, instead={"<bucket>": "dvc", "<folder>": "songs"}, variables=keys)
    before = good(checkout)
    upload(tmp_path / "more", CLIPS + 1)
    lab.typed(checkout, UPDATE, variables=keys)
    assert good(checkout) == before * (CLIPS + 1) / CLIPS


def test_a_server_killed_while_a_network_trains_loses_nothing(lab: Lab) -> None:
    epochs = 300

    def longer(content: dict[str, Any]) -> None:
        content["experiments"]["mlp"]["training"] = {"epochs": epochs}

    before = lab.runs()["mlp"].info.run_id
    edit_params(lab.checkout, longer)
    instead = {"http://<server>:5000": lab.address}
    command = lab.typed.text(REPRO, instead=instead)
    training = subprocess.Popen(
        ["bash", "-ec", command],
        cwd=lab.checkout,
        env=environment(lab.checkout),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_until(lambda: (one := lab.runs()["mlp"]).info.run_id != before and one.data.metrics, training)
    lab.server.kill()
    output, _ = training.communicate()
    assert training.returncode, "evaluate asks for the server before the work"
    assert f"the MLflow server {lab.address} does not answer" in output
    assert "Traceback" not in output

    lab.server.start()
    assert "sent to the MLflow server" in lab.typed(lab.checkout, SYNC, instead=instead)
    run_id = lab.runs()["mlp"].info.run_id
    found = lab.client().get_metric_history(run_id, "train/loss")
    assert sorted(one.step for one in found) == list(range(epochs))
    lab.typed(lab.checkout, REPRO, instead=instead)
    after = lab.runs()["mlp"]
    assert (after.info.run_id, after.info.status) == (run_id, "FINISHED")
    assert "test/macro_f1" in after.data.metrics
    assert after.outputs.model_outputs
