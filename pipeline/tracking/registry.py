"""MLflow's model registry: versions of one model, and the alias ``champion`` of the one that is used.

With :mod:`pipeline.tracking`, and what MLflow itself loads (``serving/pyfunc.py``), all that knows MLflow.
"""

import hashlib
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline import tracking
from pipeline.errors import UserError

ALIAS = "champion"
PACKAGE = "package"
"""Of a registered model's artifacts, the folder that :mod:`pipeline.serving.bundle` wrote."""
CODE = Path(__file__).parents[1]
REQUIRED = (
    "mlflow",
    "librosa",
    "numba",
    "numpy",
    "onnxruntime",
    "pandas",
    "pydantic",
    "ruamel.yaml",
    "scipy",
    "soundfile",
    "soxr",
    "filelock",
    "threadpoolctl",
    "tqdm",
)
"""What a registered model needs to be served."""


class RegistryError(UserError):
    """There is no such model; the message says what to do."""


@dataclass(frozen=True)
class Registered:
    version: str
    folder: Path
    """The model as MLflow keeps it, on this machine."""

    @property
    def package(self) -> Path:
        return self.folder / "artifacts" / PACKAGE

    @property
    def code(self) -> Path:
        """The code it was made with, to stand first on a process's path."""
        return self.folder / "code"


def champion(name: str) -> Registered | None:
    """The model that is used; None where there is none yet."""
    client = _mlflow().MlflowClient()
    try:
        found = client.get_model_version_by_alias(name, ALIAS)
    except _mlflow().exceptions.MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None
    return Registered(str(found.version), _fetched(f"models:/{name}/{found.version}"))


def model(uri: str) -> Registered:
    """A model by MLflow's address of it, ``models:/soundtrack/3``, or by a folder.

    Raises:
        RegistryError: there is none.
    """
    try:
        folder = _fetched(uri)
    except (_mlflow().exceptions.MlflowException, OSError) as error:
        raise RegistryError(f"no model {uri}: {str(error).splitlines()[0]}") from None
    found = Registered(uri, folder)
    if not found.package.is_dir():
        raise RegistryError(
            f"{uri} is no model that was registered, it has no {found.package.relative_to(folder)}: "
            "give models:/<name>/<version>, or the folder that MLflow keeps one in, with a file MLmodel"
        )
    return found


def register(name: str, package: Path, run_id: str, tags: Mapping[str, str]) -> str:
    """Log the package to the run as a model that MLflow loads and serves, as a new version of ``name``.

    Returns:
        The version; an earlier one where that has the same content.
    """
    mlflow = _mlflow()
    client = mlflow.MlflowClient()
    digest = _digest(package)
    if known := _known(client, name, digest):
        return known
    with (
        tempfile.TemporaryDirectory() as folder,
        mlflow.start_run(run_id=run_id, nested=True),
        warnings.catch_warnings(),
    ):
        named = shutil.copytree(package, Path(folder) / PACKAGE)
        # an example would be a song, and its check takes as long as the rest
        warnings.filterwarnings("ignore", message=".*input example was not provided.*")
        info = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(CODE / "serving/pyfunc.py"),
            artifacts={PACKAGE: str(named)},
            code_paths=[str(CODE)],
            signature=_signature(mlflow),
            pip_requirements=[f"{library}=={version(library)}" for library in REQUIRED],
            registered_model_name=name,
        )
    found: str = info.registered_model_version
    for key, value in {**tags, "digest": digest}.items():
        client.set_model_version_tag(name, found, key, value)
    return str(found)


def promote(name: str, number: str) -> None:
    """Let this version be the champion."""
    _mlflow().MlflowClient().set_registered_model_alias(name, ALIAS, number)


def describe(name: str, number: str, text: str) -> None:
    """Put a text, in Markdown, on the version's page."""
    _mlflow().MlflowClient().update_model_version(name, number, text)


def _mlflow() -> Any:
    import mlflow

    mlflow.set_tracking_uri(tracking.uri())
    return mlflow


def _fetched(uri: str) -> Path:
    return Path(_mlflow().artifacts.download_artifacts(uri))


def _known(client: Any, name: str, digest: str) -> str | None:
    found = client.search_model_versions(f"name = '{name}'")
    same = [one.version for one in found if one.tags.get("digest") == digest]
    return str(same[0]) if same else None


def _digest(package: Path) -> str:
    """Of all that decides an answer: the package and the code beside it."""
    digest = hashlib.sha256()
    files = [*package.rglob("*"), *CODE.rglob("*")]
    for file in sorted(file for file in files if file.is_file() and file.parent.name != "__pycache__"):
        digest.update(f"{file.name}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def _signature(mlflow: Any) -> Any:
    from mlflow.types import ColSpec, Schema

    inputs = [ColSpec("binary", "audio", required=False), ColSpec("string", "path", required=False)]
    return mlflow.models.ModelSignature(Schema(inputs))
