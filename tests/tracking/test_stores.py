"""A store that cannot be used is an error in a sentence that says what cures it, before the work of a stage."""

import datetime
import ipaddress
import json
import re
import shutil
import sqlite3
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import mlflow
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from processes import free_port
from tracking_servers import FAULTS, Fault, Proxy, proxy

from pipeline import config, tracking
from pipeline.stages import command
from pipeline.tracking import TrackingError, registry

EXPERIMENT = {"experiment_id": "1", "name": "soundtrack", "lifecycle_stage": "active", "artifact_location": "file:///x"}
OPENED = {
    "experiments/get-by-name": Fault(200, json.dumps({"experiment": EXPERIMENT}).encode()),
    "experiments/get?": Fault(200, json.dumps({"experiment": EXPERIMENT}).encode()),
    "experiments/set-experiment-tag": Fault(200, b"{}"),
}
READ_ONLY = OPENED | {"experiments/set-experiment-tag": FAULTS["403"]}
VERSION_2 = OPENED | {"logged-models": Fault(404, b"<html><title>404 Not Found</title></html>")}
Compare = Callable[[str], str]


@pytest.fixture
def compare(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Compare:
    """What the stage ends with, where it is given a store and none of its inputs is there."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setattr(sys, "argv", ["stages", "compare"])

    def run(address: str) -> str:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(SystemExit) as end:
            command.main("pipeline.stages", config.load)
        assert not (checkout / "reports").exists()
        assert isinstance(end.value.code, str), "no sentence"
        assert end.value.code.startswith("error: ")
        assert "\n" not in end.value.code
        return end.value.code

    return run


@pytest.fixture
def failing() -> Iterator[Callable[[Fault | dict[str, Fault]], Proxy]]:
    """``failing(fault)``: a server that fails at each request, or answers as it says by a part of the path."""
    with ExitStack() as servers:

        def start(fault: Fault | dict[str, Fault]) -> Proxy:
            found = servers.enter_context(proxy())
            if isinstance(fault, dict):
                found.answers = fault
            else:
                found.fail(fault)
            return found

        yield start


@pytest.mark.parametrize(
    ("fault", "said", "cure"),
    [
        (FAULTS["refused"], "does not answer", "start it, or unset MLFLOW_TRACKING_URI"),
        (FAULTS["hang"], "does not answer", "start it, or unset MLFLOW_TRACKING_URI"),
        (
            FAULTS["401"],
            "wants a user name and a password",
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        ),
        (FAULTS["403"], "does not let you write there", "ask who runs it for the permission EDIT"),
        (READ_ONLY, "does not let you write there", "ask who runs it for the permission EDIT"),
        (FAULTS["404 HTML"], "is a web server, but no MLflow", "check MLFLOW_TRACKING_URI"),
        (Fault(404, b'{"detail": "Not Found"}'), "is a web server, but no MLflow", "check MLFLOW_TRACKING_URI"),
        (Fault(200), "is a web server, but no MLflow", "check MLFLOW_TRACKING_URI"),
        (Fault(200, b'{"status": "ok"}'), "is a web server, but no MLflow", "check MLFLOW_TRACKING_URI"),
        (Fault(302), "is a web server, but no MLflow", "check MLFLOW_TRACKING_URI"),
        (FAULTS["500"], "answers with an error of its own (HTTP status 500)", "see its log"),
        (Fault(503), "answers with an error of its own (HTTP status 503)", "see its log"),
        (Fault(400, b"Invalid Host header"), "refused a request", "Invalid Host header"),
        (VERSION_2, "is older than MLflow 3", "pip install 'mlflow>=3'"),
    ],
)
def test_a_server_that_cannot_be_used(
    fault: Fault | dict[str, Fault],
    said: str,
    cure: str,
    compare: Compare,
    failing: Callable[[Fault | dict[str, Fault]], Proxy],
) -> None:
    server = failing(fault)
    text = compare(server.address)
    assert f"the MLflow server {server.address} {said}" in text
    assert cure in text


def test_a_wrong_password_is_told_with_its_user(
    compare: Compare, failing: Callable[[Fault], Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = failing(FAULTS["401"])
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "bob")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    assert "does not accept the password of bob" in compare(server.address)
    assert "secret" not in compare(server.address.replace("//", "//me:secret@"))


def test_a_certificate_that_is_not_trusted(
    compare: Compare, failing: Callable[[Fault], Proxy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = self_signed(tmp_path)
    server = failing(FAULTS["404 HTML"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    secure = server.address.replace("http:", "https:")
    text = compare(secure)
    assert f"the MLflow server {secure} has a certificate that is not trusted here" in text
    for name, value in (
        ("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate)),
        ("MLFLOW_TRACKING_INSECURE_TLS", "true"),
    ):
        assert name in text
        with monkeypatch.context() as cured:
            cured.setenv(name, value)
            assert "is a web server, but no MLflow" in compare(secure), "beyond the certificate"


def test_https_where_http_is_spoken(compare: Compare, failing: Callable[[Fault], Proxy]) -> None:
    secure = failing(FAULTS["404 HTML"]).address.replace("http:", "https:")
    assert "does not speak https: check MLFLOW_TRACKING_URI, perhaps it begins with http://" in compare(secure)


def test_nobody_listens(compare: Compare) -> None:
    assert "does not answer: start it, or unset" in compare(f"http://127.0.0.1:{free_port()}")


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that nobody else signed, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "here")])
    now = datetime.datetime.now(datetime.UTC)
    own = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=2))
    signed = made.add_extension(own, critical=False).sign(key, hashes.SHA256())
    (folder / "certificate.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    kind = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()))
    return folder / "certificate.pem", folder / "key.pem"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("file:{folder}/mlruns", "names a folder .*, where MLflow 3 keeps no runs.*mlflow migrate-filestore --source"),
        ("mlruns", "names a folder .*, where MLflow 3 keeps no runs"),
        ("sqlite://", "names a database in memory"),
        ("sqlite:///:memory:", "names a database in memory"),
        ("sqlite:///{folder}", "is a folder: give MLFLOW_TRACKING_URI the file of a database"),
        ("sqlite:///{folder}/garbage.db", "garbage.db is not a database: move the file away"),
        ("sqlite:///{folder}/garbage.db/mlflow.db", r"cannot be used \(.*\): it has to be a file that you may write"),
        (
            "sqlite:///{folder}/other.db",
            r"was made by another version of MLflow: copy it, then `mlflow db upgrade sqlite:///",
        ),
        (
            "mssql://me:secret@127.0.0.1/x",
            "the MLflow database mssql://127.0.0.1/x needs a package that is not here: pip",
        ),
        ("127.0.0.1:5000", "MLFLOW_TRACKING_URI 127.0.0.1:5000 does not say http://: MLFLOW_TRACKING_URI=http://127"),
        ("localhost:5000", "MLFLOW_TRACKING_URI localhost:5000 does not say http://: MLFLOW_TRACKING_URI=http://local"),
        ("htp://server", "MLFLOW_TRACKING_URI htp://server cannot be used: give http://<host>:<port>, or unset it"),
    ],
)
def test_a_database_that_cannot_be_used(
    address: str, said: str, compare: Compare, tmp_path: Path, empty_store: Path
) -> None:
    (tmp_path / "garbage.db").write_bytes(b"not one at all" * 100)
    shutil.copy(empty_store, tmp_path / "other.db")
    with closing(sqlite3.connect(tmp_path / "other.db")) as database, database:
        database.execute("update alembic_version set version_num = 'bda7b8c39065'")
    text = compare(address.format(folder=tmp_path))
    assert re.search(said, text), text
    if not address.endswith(
        "garbage.db/mlflow.db"
    ):  # of a file that is not there `soundtrack classify` says that it has no champion
        with pytest.raises(TrackingError, match=said):
            registry.champion("soundtrack")
    assert "secret" not in text


def test_an_experiment_that_was_deleted_in_mlflow(compare: Compare, tmp_path: Path, empty_store: Path) -> None:
    address = f"sqlite:///{shutil.copy(empty_store, tmp_path / 'store.db')}"
    client = mlflow.MlflowClient(address)
    number = client.create_experiment("soundtrack")
    client.delete_experiment(number)
    text = compare(address)
    assert "the experiment soundtrack was deleted in MLflow" in text
    assert f"MLFLOW_TRACKING_URI={address} mlflow experiments restore --experiment-id {number} brings it back" in text
    assert "`tracking.experiment` in params.yaml" in text
    client.restore_experiment(number)
    tracking.connect("soundtrack")
