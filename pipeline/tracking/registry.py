"""MLflow's model registry: versions of one model, and the alias ``champion`` of the one in use.

Only this module, :mod:`pipeline.tracking` and the pyfunc model (``serving/pyfunc.py``) use MLflow.
"""

import logging
import re
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline import tracking
from pipeline.base.errors import UserError
from pipeline.base.files import sha256
from pipeline.workflow.cache_key import cache_key

ALIAS = "champion"
BUNDLE = "bundle"
"""Of a registered model's artifacts, the folder that :mod:`pipeline.serving.bundle` wrote."""
OLD_BUNDLE = "package"
"""Its name in models of interface 0, see :mod:`pipeline.serving.manifest`."""
CODE = Path(__file__).parents[1]
ABOUT = """\
Gives a song the probability of each label. Each version is the best experiment of one run of the pipeline: its tag \
`experiment` says which, its description is the model card. The alias `champion` marks the version in use by \
`soundtrack classify`, `soundtrack page` and `soundtrack serve`.
"""
"""Description of a new registered model."""
REQUIRED = (
    "mlflow", "av", "librosa", "numba", "numpy", "onnxruntime", "pandas", "pydantic", "ruamel.yaml", "scipy", "soundfile", "soxr",
    "filelock", "threadpoolctl", "tqdm",
)  # fmt: skip
"""What a registered model needs to be served."""


class RegistryError(UserError):
    """There is no such model; the message says what to do."""


@dataclass(frozen=True)
class Registered:
    version: str
    folder: Path
    """MLflow's folder of the model, on this machine."""
    uri: str
    """By which `--model` finds it."""

    @property
    def bundle(self) -> Path:
        old = self.folder / "artifacts" / OLD_BUNDLE
        return old if old.is_dir() else self.folder / "artifacts" / BUNDLE

    @property
    def code(self) -> Path:
        """Folder with the package ``pipeline`` that the model was registered with."""
        return self.folder / "code"


def champion(name: str) -> Registered | None:
    """The model in use; None if there is none yet."""
    client = _mlflow().MlflowClient()
    try:
        found = client.get_model_version_by_alias(name, ALIAS)
    except _mlflow().exceptions.MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None
    uri = f"models:/{name}/{found.version}"
    return Registered(str(found.version), _fetched(uri), uri)


def model(uri: str) -> Registered:
    """A model by its MLflow URI, such as ``models:/soundtrack/3``, or by its folder.

    Raises:
        RegistryError: there is none.
    """
    try:
        folder = _fetched(uri)
    except (_mlflow().exceptions.MlflowException, OSError) as error:
        raise RegistryError(f"no model {uri}: {str(error).splitlines()[0]}") from None
    found = Registered(uri, folder, uri)
    if not found.bundle.is_dir():
        raise RegistryError(
            f"{uri} is not a registered model, it has no {found.bundle.relative_to(folder)}: "
            "give models:/<name>/<version>, or MLflow's folder of one, with a file MLmodel"
        )
    return found


def tagged(name: str, tag: str, value: str) -> Registered | None:
    """The newest version with this tag; None if there is none."""
    found = _mlflow().MlflowClient().search_model_versions(f"name = '{name}'")
    numbers = [int(one.version) for one in found if one.tags.get(tag) == value]
    return model(f"models:/{name}/{max(numbers)}") if numbers else None


def register(
    name: str, experiment: str, bundle: Path, run_id: str, about: str = ABOUT, tags: Mapping[str, str] | None = None
) -> str:
    """Log the bundle to the run as a pyfunc model, and register it as a new version of ``name``.

    Args:
        experiment: whose model it is.
        about: description of a new registered model.
        tags: of the version.

    Returns:
        The version; an earlier one if its content is the same.
    """
    from mlflow.types import ColSpec, Schema

    mlflow = _mlflow()
    client = mlflow.MlflowClient()
    digest = _digest(bundle)
    for known in client.search_model_versions(f"name = '{name}'"):
        if known.tags.get("digest") == digest:
            return str(known.version)
    with (
        tempfile.TemporaryDirectory() as folder,
        mlflow.start_run(run_id=run_id, nested=True),
        warnings.catch_warnings(),
    ):
        named = shutil.copytree(bundle, Path(folder) / BUNDLE)
        # an example would be a song, and its check takes as long as the rest
        warnings.filterwarnings("ignore", message=".*input example was not provided.*")
        info = mlflow.pyfunc.log_model(
            name=f"{experiment}-{BUNDLE}",
            python_model=str(CODE / "serving/pyfunc.py"),
            artifacts={BUNDLE: str(named)},
            code_paths=[str(CODE)],
            signature=mlflow.models.ModelSignature(
                Schema([ColSpec("binary", "audio", required=False), ColSpec("string", "path", required=False)])
            ),
            pip_requirements=[f"{library}=={version(library)}" for library in REQUIRED],
        )
    # not by log_model, which prints that it does so
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, description=about)
    own = {"experiment": experiment, "digest": digest, **(tags or {})}
    made = client.create_model_version(name, f"models:/{info.model_id}", run_id, tags=own, model_id=info.model_id)
    if not client.get_registered_model(name).description:  # a person may have written one
        client.update_registered_model(name, about)
    return str(made.version)


def promote(name: str, number: str) -> None:
    """Make this version the champion."""
    _mlflow().MlflowClient().set_registered_model_alias(name, ALIAS, number)


def describe(name: str, number: str, text: str, run_id: str) -> None:
    """Set the version's description, in Markdown; its pictures are artifacts of the run."""
    # relative to a page of MLflow's, not to the file
    shown = re.sub(r"(!\[[^]]*\])\(([^):]+)\)", rf"\1(get-artifact?run_uuid={run_id}&path=\2)", text)
    _mlflow().MlflowClient().update_model_version(name, number, shown)


def _mlflow() -> Any:
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of each table that it makes
    mlflow.set_tracking_uri(tracking.uri())
    return mlflow


def _fetched(uri: str) -> Path:
    return Path(_mlflow().artifacts.download_artifacts(uri))


def _digest(bundle: Path) -> str:
    """Of all that decides a prediction: the bundle and the code."""
    found = [
        {file.relative_to(top).as_posix(): sha256(file) for file in top.rglob("*") if file.is_file()}
        for top in (bundle, CODE)
    ]
    return cache_key(*({name: own for name, own in files.items() if "__pycache__" not in name} for files in found))
