"""``soundtrack ui``: MLflow's pages, opened on the table of models."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser

from pipeline.base import paths
from pipeline.base.addresses import HOST, check_free
from pipeline.base.errors import UserError
from pipeline.tracking import problems, store, views


def ui(experiment: str, port: int) -> None:
    """Serve MLflow's pages until interrupted; where MLFLOW_TRACKING_URI names a server, only show the link.

    Raises:
        UserError: the port is taken, or the server does not start.
    """
    address = store.uri()
    if problems.is_server(address):
        _show(f"{address.rstrip('/')}/{views.publish(experiment)}")
        return
    check_free(port, "ui")
    _serve(address, port, f"http://{HOST}:{port}/{views.publish(experiment)}")


def _serve(address: str, port: int, link: str) -> None:
    artifacts = (paths.home() / "mlartifacts").as_uri()
    where = ["--backend-store-uri", address, "--default-artifact-root", artifacts]
    place = ["--host", HOST, "--port", str(port), "--workers", "1"]
    output = paths.cache() / "mlflow-ui.log"
    output.parent.mkdir(parents=True, exist_ok=True)
    print(f"Starting MLflow (its output goes to {output})", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the server is ended too
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *where, *place],
        # spares eight processes, for jobs that are not used here
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=output.open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        while server.poll() is None and not _answers(port):
            time.sleep(0.1)
        if server.poll() is None:
            _show(link)
            print("Ctrl+C stops it.", flush=True)
        if server.wait():
            raise UserError(f"MLflow's server ended with exit code {server.returncode}: see {output}")
    except KeyboardInterrupt:
        pass
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)  # the server's own processes too
            server.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _show(link: str) -> None:
    print(f"All models with their scores: {link}", flush=True)
    # without a desktop a browser in text mode would take the terminal
    desktop = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if desktop and sys.stdout.isatty():
        webbrowser.open(link)
