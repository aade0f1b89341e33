"""MLflow's model registry: versions of one model, and the alias ``champion`` of the one in use.

Only this module, :mod:`pipeline.tracking` and the pyfunc model (``serving/pyfunc.py``) use MLflow.
"""

import json
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.base import paths
from pipeline.base.errors import UserError
from pipeline.base.files import atomic_write, sha256, write_json
from pipeline.tracking import problems, store
from pipeline.tracking.runs import metric_name
from pipeline.tracking.store import required
from pipeline.workflow.cache_key import cache_key

ALIAS = "champion"
CHAMPION_TAG = "was_champion"
"""Of a version that the alias stands or stood for."""
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


NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""MLflow's error codes for a model, version or alias that it does not have."""


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


@required()
def champion(name: str) -> Registered | None:
    """The model in use; None if there is none yet.

    Raises:
        TrackingError: the store cannot be used.
    """
    file = problems.database_file(store.uri())
    if file is None or "MLFLOW_REGISTRY_URI" in os.environ:  # versions may be elsewhere than runs
        return _champion(name)
    if not file.exists():
        return None  # which MLflow would make
    # of before MLflow is asked: what changes meanwhile is asked for the next time
    answer = paths.cache() / "champion.json"
    asked: list[object] = [name, str(file), *_state(file)]
    if known := _remembered(answer, asked):
        return known  # MLflow takes seconds to import
    found = _champion(name)
    if found:
        with suppress(OSError):  # of two commands at once, or a full disk: it is asked for again
            kept = {"version": found.version, "folder": str(found.folder), "uri": found.uri}
            write_json(answer, {"asked": asked, **kept})
    return found


def _remembered(answer: Path, asked: list[object]) -> Registered | None:
    """The answer to what was asked; None where there is no such answer, or its model is gone."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(answer.read_text(encoding="utf-8"))
        found = Registered(kept["version"], Path(kept["folder"]), kept["uri"])
        if kept["asked"] == asked and all(
            part.exists() for part in (found.folder / "MLmodel", found.bundle, found.code)
        ):
            return found
    return None


def _state(database: Path) -> list[int]:
    """Changes when the database does: size and time of its file, and of the one where SQLite may keep what is newest."""
    files = [file.stat() for file in (database, database.with_name(f"{database.name}-wal")) if file.exists()]
    return [number for state in files for number in (state.st_size, state.st_mtime_ns)]


def _champion(name: str) -> Registered | None:
    mlflow = store.module()
    try:
        found = mlflow.MlflowClient().get_model_version_by_alias(name, ALIAS)
    except mlflow.exceptions.MlflowException as error:
        if not _is_missing(error):
            raise
        return None
    uri = f"models:/{name}/{found.version}"
    return Registered(str(found.version), _fetched(mlflow, uri), uri)


@required()
def model(uri: str) -> Registered:
    """A model by its MLflow URI, such as ``models:/soundtrack/3``, by its MLflow folder, or by a bundle like ``candidate``.

    Raises:
        RegistryError: there is none.
        TrackingError: the store cannot be used.
    """
    if (Path(uri) / paths.MANIFEST).is_file():
        return Registered(uri, packaged(Path(uri)), uri)
    mlflow = store.module()
    try:
        folder = _fetched(mlflow, uri)
    except (mlflow.exceptions.MlflowException, OSError) as error:
        if not _is_missing(error):
            raise
        raise RegistryError(f"no model {uri}: {str(error).splitlines()[0]}") from None
    found = Registered(uri, folder, uri)
    needed = (found.bundle, folder / "MLmodel")
    if missing := [path for path in needed if not path.exists()]:
        raise RegistryError(
            f"{uri} is not a registered model, it has no {missing[0].relative_to(folder).as_posix()}: "
            "give models:/<name>/<version>, MLflow's folder of one, with a file MLmodel, or a folder like candidate"
        )
    return found


@required()
def tagged(name: str, tag: str, value: str) -> Registered | None:
    """The newest version with this tag; None if there is none.

    Raises:
        TrackingError: the store cannot be used.
    """
    found = store.module().MlflowClient().search_model_versions(f"name = '{name}'")
    numbers = [int(one.version) for one in found if one.tags.get(tag) == value]
    return model(f"models:/{name}/{max(numbers)}") if numbers else None


@required("model")
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

    Raises:
        TrackingError: the store cannot be used.
    """
    mlflow = store.module()
    client = mlflow.MlflowClient()
    digest = _digest(bundle)
    for known in client.search_model_versions(f"name = '{name}'"):
        if known.tags.get("digest") == digest:
            return str(known.version)
    with _pyfunc(bundle) as content, mlflow.start_run(run_id=run_id, nested=True):
        info = mlflow.pyfunc.log_model(name=f"{experiment}-{BUNDLE}", **content)
    # not by log_model, which prints that it does so
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, description=about)
    own = {"experiment": experiment, "digest": digest, **(tags or {})}
    made = client.create_model_version(name, f"models:/{info.model_id}", run_id, tags=own, model_id=info.model_id)
    if not client.get_registered_model(name).description:  # a person may have written one
        client.update_registered_model(name, about)
    return str(made.version)


def packaged(bundle: Path) -> Path:
    """MLflow's folder of a bundle that is not registered, with the code of this checkout."""
    folder = paths.cache() / "packaged" / _digest(bundle)[:16]
    if not folder.exists():
        with _pyfunc(bundle) as content, atomic_write(folder) as partial:
            store.module().pyfunc.save_model(str(partial), **content)
    return folder


@contextmanager
def _pyfunc(bundle: Path) -> Iterator[dict[str, Any]]:
    """What MLflow makes a model of."""
    import mlflow.pyfunc
    from mlflow.types import ColSpec, Schema

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # an example would be a song, and its check takes as long as the rest
        warnings.filterwarnings("ignore", message=".*input example was not provided.*")
        inputs = Schema([ColSpec("binary", "audio", required=False), ColSpec("string", "path", required=False)])
        yield {
            "python_model": str(CODE / "serving/pyfunc.py"),
            "artifacts": {BUNDLE: str(shutil.copytree(bundle, Path(folder) / BUNDLE))},
            "code_paths": [str(CODE)],
            "signature": mlflow.models.ModelSignature(inputs),
            "pip_requirements": [f"{library}=={version(library)}" for library in REQUIRED],
        }


@required()
def promote(name: str, number: str) -> None:
    """Make this version the champion.

    Raises:
        TrackingError: the store cannot be used.
    """
    client = store.module().MlflowClient()
    client.set_registered_model_alias(name, ALIAS, number)
    client.set_model_version_tag(name, number, CHAMPION_TAG, "true")


class Past(NamedTuple):
    """A version that was champion, or still is."""

    version: str
    experiment: str
    promised: float
    """The macro F1 that was expected of it: where nothing was cross-validated, that on validation."""
    tested: float
    """Its test macro F1."""


@required()
def past_champions(name: str) -> list[Past]:
    """Those whose runs are still there, the first one first.

    Raises:
        TrackingError: the store cannot be used.
    """
    mlflow, found = store.module(), []
    client = mlflow.MlflowClient()
    for one in client.search_model_versions(f"name = '{name}'"):
        if CHAMPION_TAG in one.tags:
            try:
                scores = client.get_run(one.run_id).data.metrics
            except mlflow.exceptions.MlflowException as error:
                if not _is_missing(error):
                    raise
                continue
            valid, expected, test = (
                scores.get(metric_name(f"{part}_macro_f1")) for part in ("valid", "expected", "test")
            )
            promised = valid if expected is None else expected
            if promised is not None and test is not None:
                found.append(Past(str(one.version), one.tags.get("experiment", ""), promised, test))
    return sorted(found, key=lambda one: int(one.version))


@required()
def describe(name: str, number: str, text: str, run_id: str) -> None:
    """Set the version's description, in Markdown; its pictures are artifacts of the run.

    Raises:
        TrackingError: the store cannot be used.
    """
    # relative to a page of MLflow's, not to the file
    shown = re.sub(r"(!\[[^]]*\])\(([^):]+)\)", rf"\1(get-artifact?run_uuid={run_id}&path=\2)", text)
    store.module().MlflowClient().update_model_version(name, number, shown)


def _fetched(mlflow: Any, uri: str) -> Path:
    from mlflow.store.artifact.models_artifact_repo import ModelsArtifactRepository

    if not uri.startswith("models:"):
        return Path(mlflow.artifacts.download_artifacts(uri))
    # the files themselves: into the folder of a model MLflow would write, which only its owner may
    files = ModelsArtifactRepository.get_underlying_uri(uri)
    with required("model"):
        return Path(mlflow.artifacts.download_artifacts(files))


def _is_missing(error: Exception) -> bool:
    """The store, or this disk, does not have the model; else the store cannot be used."""
    return problems.is_store(store.uri()) and getattr(error, "error_code", NOT_THERE[0]) in NOT_THERE


def _digest(bundle: Path) -> str:
    """Of all that decides a prediction: the bundle and the code."""
    found = [
        {file.relative_to(top).as_posix(): sha256(file) for file in top.rglob("*") if file.is_file()}
        for top in (bundle, CODE)
    ]
    return cache_key(*({name: own for name, own in files.items() if "__pycache__" not in name} for files in found))
