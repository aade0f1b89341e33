"""Addresses of MLflow's pages on a run and on a registered model."""

import re
from urllib.parse import quote

from pipeline.base.addresses import HOST, UI_PORT
from pipeline.tracking.runs import connect
from pipeline.tracking.store import uri


def run_page(experiment: str, run_id: str) -> str:
    """
    Raises:
        TrackingError: the server does not answer.
    """
    number = connect(experiment).get_experiment_by_name(experiment).experiment_id
    return f"{_server()}/#/experiments/{number}/runs/{run_id}"


def version_page(name: str, version: str) -> str:
    return f"{_server()}/#/models/{quote(name)}/versions/{version}"


def _server() -> str:
    """Of a store on this machine the one that `make ui` starts; a password in the address is not for reports."""
    address = re.sub("//[^/]*@", "//", uri()).rstrip("/")
    return address if address.startswith("http") else f"http://{HOST}:{UI_PORT}"
