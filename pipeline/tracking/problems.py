"""What is wrong with an MLflow store, in words, and what cures it."""

import errno
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

ARTIFACTS = ("file", "folder", "model")
"""Kinds of entries that go into the artifact store, which may fail while the tracking server answers."""
UNSET = "unset MLFLOW_TRACKING_URI to log to mlflow.db in the checkout"
REFUSED = (
    "INVALID_PARAMETER_VALUE",
    "BAD_REQUEST",
    "RESOURCE_ALREADY_EXISTS",
    "INVALID_STATE",
    "RESOURCE_DOES_NOT_EXIST",
)
"""MLflow's error codes of a server that answered, and does not take this one entry."""
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
SQLITE, MEMORY = "sqlite:///", "sqlite://"


class Problem(NamedTuple):
    what: str
    cure: str
    of_entry: bool = False
    """Only this entry cannot be sent; the store takes others."""

    def __str__(self) -> str:
        return f"{self.what}: {self.cure}"


def explain(error: Exception, address: str, kind: str = "") -> Problem | None:
    """What an exception of a call to the store at ``address`` means; None where it is no error of a store.

    Args:
        kind: of the entry that was sent; empty for other calls.
    """
    import requests

    if not _of_store(error):
        return None
    causes = list(_causes(error))
    no_answer = any(isinstance(cause, requests.ConnectionError | requests.Timeout) for cause in causes)
    if kind in ARTIFACTS and not no_answer and (not hasattr(error, "error_code") or "mlflow-artifacts" in str(error)):
        why = f"{type(error).__name__}: {_first_line(error)}"
        return Problem(f"the artifact store of {named(address)} cannot be used", why, of_entry=True)
    if _code(error) in REFUSED and is_store(address):
        return Problem(f"{named(address)} refused a request", _first_line(error), of_entry=bool(kind))
    return Problem(*(_of_server(error, causes, address) if is_server(address) else _of_database(error, address)))


def is_server(address: str) -> bool:
    return address.startswith(("http://", "https://"))


def is_store(address: str) -> bool:
    """Whether MLflow has stores at such addresses; else it refuses what is asked of one."""
    return is_server(address) or urlsplit(address).scheme.partition("+")[0] in DATABASES


def shown(address: str) -> str:
    """Without the user and password that an address may have, and without a slash at the end."""
    return re.sub("//[^/]*@", "//", address).rstrip("/")


def named(address: str) -> str:
    if is_server(address):
        return f"the MLflow server {shown(address)}"
    return f"the MLflow database {file.as_posix() if (file := database_file(address)) else shown(address)}"


def database_file(address: str) -> Path | None:
    """The file of an sqlite address."""
    if not address.startswith(SQLITE):
        return None
    return Path(address.removeprefix(SQLITE).partition("?")[0])


def check_file(address: str) -> Problem | None:
    """What is wrong with the file of an sqlite address, which MLflow would try to open for minutes."""
    if address == MEMORY:
        return Problem("MLFLOW_TRACKING_URI names a database in memory, which ends with each stage", UNSET)
    file = database_file(address)
    if file is None or not file.exists():
        return None
    if file.is_dir():
        return Problem(f"{named(address)} is a folder", "give MLFLOW_TRACKING_URI the file of a database")
    try:
        # to write, since what a killed process left half written is rolled back
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", uri=True)) as database:
            database.execute("PRAGMA schema_version")
    except sqlite3.Error as error:
        return Problem(*_of_database(error, address))
    return None


def _of_store(error: Exception) -> bool:
    """Errors of MLflow, of a library that it calls (each artifact store has its own), or of the system; others are bugs."""
    if isinstance(error, OSError):
        return error.errno not in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, ImportError) or type(error).__module__.partition(".")[0] not in ("builtins", "pipeline")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _code(error: Exception) -> str:
    """MLflow's error code."""
    return str(getattr(error, "error_code", ""))


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _of_server(error: Exception, causes: list[BaseException], address: str) -> tuple[str, str]:
    import requests

    server, text, code = named(address), str(error), _code(error)
    if any(isinstance(cause, requests.exceptions.SSLError) for cause in causes):
        if "CERTIFICATE_VERIFY_FAILED" in text:
            trust = "set MLFLOW_TRACKING_SERVER_CERT_PATH to the file of its certificate (or of who signed it)"
            return (
                f"{server} has a certificate that is not trusted here",
                f"{trust}, or MLFLOW_TRACKING_INSECURE_TLS=true",
            )
        return f"{server} does not speak https", "check MLFLOW_TRACKING_URI, perhaps it begins with http://"
    if any(isinstance(cause, requests.ConnectionError | requests.Timeout) for cause in causes):
        return f"{server} does not answer", f"start it, or {UNSET}"
    user = os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    if code in ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"):
        refused = f"does not accept the password of {user}" if user else "wants a user name and a password"
        login = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or for a token MLFLOW_TRACKING_TOKEN"
        return f"{server} {refused}", login
    if code == "PERMISSION_DENIED":
        ask = "ask who runs it for the permission EDIT, or log in as another user"
        return f"{server} does not let {user or 'you'} write there", ask
    if code == "ENDPOINT_NOT_FOUND" and "logged-models" in text:
        upgrade = "upgrade it (pip install 'mlflow>=3', and `mlflow db upgrade` on a copy of its database)"
        return f"{server} is older than MLflow 3, and cannot keep models", f"{upgrade}, or {UNSET}"
    status = re.search(r"(?:error code|too many) (\d+)", text)
    no_mlflow = code == "ENDPOINT_NOT_FOUND" or "valid JSON format" in text or "error_code" not in _json(error)
    if no_mlflow or (status and status[1].startswith("3")):
        return f"{server} is a web server, but no MLflow", f"check MLFLOW_TRACKING_URI, or {UNSET}"
    said = f"HTTP status {status[1]}" if status else _first_line(error)
    return f"{server} answers with an error of its own ({said})", "see its log, or try again later"


def _json(error: Exception) -> str:
    """The answer of a server that answers in JSON, which MLflow's has an error code in."""
    return str(getattr(error, "json", "error_code"))


def _of_database(error: Exception, address: str) -> tuple[str, str]:
    text, database = _first_line(error), named(address)
    if re.fullmatch(r"[\w.-]+:\d+/?", address):
        return f"MLFLOW_TRACKING_URI {address} does not say http://", f"MLFLOW_TRACKING_URI=http://{address}"
    if "migrate-filestore" in str(error):
        moved = f"mlflow migrate-filestore --source {address.removeprefix('file:')} --target sqlite:///mlflow.db"
        what = f"MLFLOW_TRACKING_URI names a folder ({address}), where MLflow 3 keeps no runs"
        return what, f"{UNSET}; `{moved}` moves its runs there"
    if not is_store(address):
        return (
            f"MLFLOW_TRACKING_URI {shown(address)} cannot be used",
            f"give http://<host>:<port>, or unset it ({text})",
        )
    if isinstance(error, ImportError):
        return f"{database} needs a package that is not here", f"pip install {error.name}"
    if "schema" in text or "revision" in text:
        newer = "if that does not know its version, a newer MLflow made it, which has to be installed"
        cure = f"copy it, then `mlflow db upgrade {shown(address)}`; {newer}"
        return f"{database} was made by another version of MLflow", cure
    if "not a database" in text:
        return f"{database} is not a database", "move the file away, and a new one is made"
    if database_file(address):
        said = (error.strerror if isinstance(error, OSError) else None) or text
        return f"{database} cannot be used ({said})", "it has to be a file that you may write; see MLFLOW_TRACKING_URI"
    return f"{database} does not answer", f"start it, or {UNSET} ({text})"
