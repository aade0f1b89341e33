"""Addresses of MLflow's pages on a run and on a registered model."""

from urllib.parse import quote

from pipeline.base.addresses import HOST, UI_PORT
from pipeline.tracking import problems, store


def run_page(experiment: str, run_id: str) -> str:
    """
    Args:
        experiment: of MLflow; :func:`pipeline.tracking.connect` has made it.

    Raises:
        TrackingError: the store cannot be used.
    """
    with store.required():
        number = store.module().get_experiment_by_name(experiment).experiment_id
    return f"{_server()}/#/experiments/{number}/runs/{run_id}"


def version_page(name: str, version: str) -> str:
    return f"{_server()}/#/models/{quote(name)}/versions/{version}"


def _server() -> str:
    """Of a store on this machine the one that `make ui` starts; a password in the address is not for reports."""
    address = problems.shown(store.uri())
    return address if problems.is_server(address) else f"http://{HOST}:{UI_PORT}"
