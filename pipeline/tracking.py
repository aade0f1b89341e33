"""Everything that is logged to MLflow, and the only module that knows MLflow.

DVC's outputs are the truth; a run shows them for comparison. So a run that is lost, or unknown to the store at
hand (a fresh clone after ``dvc pull``), is made anew from the files and tagged ``restored``.
"""

import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from pipeline import paths

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

LIBRARIES = ("torch", "pytorch-lightning", "librosa", "scikit-learn", "mlflow", "dvc", "numpy", "pandas")


def uri() -> str:
    """MLFLOW_TRACKING_URI, else a database in the main checkout, where a plain ``mlflow ui`` finds it."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.home() / 'mlflow.db'}"


def connect(experiment: str) -> Any:
    """mlflow, pointed at the store and the experiment; both are made when missing."""
    import mlflow

    address = uri()
    mlflow.set_tracking_uri(address)
    lock = paths.cache() / "mlflow.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    # processes that open a new database together can leave it unusable
    with FileLock(lock):
        if mlflow.get_experiment_by_name(experiment) is None:
            local = address.startswith("sqlite:///")
            place = (paths.home() / "mlartifacts").as_uri() if local else None
            mlflow.create_experiment(experiment, artifact_location=place)
        mlflow.set_experiment(experiment)
    return mlflow


class Run:
    """An open MLflow run; what is logged appears at once."""

    def __init__(self, mlflow: Any, run_id: str, restored: bool) -> None:
        self._mlflow = mlflow
        self.id = run_id
        self.restored = restored
        """The run was made anew from files, since the store does not know the one they came from."""

    def set_tags(self, values: Mapping[str, str]) -> None:
        self._mlflow.set_tags(dict(values))

    def log_params(self, values: Mapping[str, Any]) -> None:
        self._mlflow.log_params(dict(values))

    def log_metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        self._mlflow.log_metrics(dict(values), step=step)

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        self._mlflow.log_metrics(dict(values), step=epoch)

    def log_table(self, table: Any, name: str) -> None:
        self._mlflow.log_table(table, name)

    def log_file(self, file: Path) -> None:
        self._mlflow.log_artifact(str(file))

    def log_folder(self, folder: Path, name: str) -> None:
        self._mlflow.log_artifacts(str(folder), name)

    def log_model(self, file: Path, examples: Mapping[str, Any], output: Any) -> None:
        """The ONNX graph with a signature of named tensors (free batch size) and an input example."""
        import onnx
        from mlflow.models import infer_signature

        self._mlflow.onnx.log_model(
            onnx.load(str(file)),
            name="model",
            signature=_free_batch(infer_signature(dict(examples), output)),
            input_example=dict(examples),
            onnx_execution_providers=["CPUExecutionProvider"],
            pip_requirements=[f"{name}=={version(name)}" for name in ("onnx", "onnxruntime", "numpy")],
        )


@contextmanager
def run(
    experiment: str, name: str, run_id: str | None, tags: Mapping[str, str], parent: str | None = None
) -> Iterator[Run]:
    """Continue the run ``run_id``, or start one, below the open run ``parent`` where there is one.

    A run id that this store does not know, or has deleted, gives a run tagged ``restored`` with that id: the one
    there is, else a new one.
    """
    mlflow = connect(experiment)
    known = run_id if run_id is None or _is_live(mlflow, run_id) else _stand_in(mlflow, run_id)
    restored = run_id is not None and known is None
    with mlflow.start_run(
        run_id=known, run_name=name, nested=parent is not None, parent_run_id=parent
    ) as active:
        mlflow.set_tags({**tags, **({"restored": run_id} if restored else {})})
        yield Run(mlflow, active.info.run_id, restored)


def _is_live(mlflow: Any, run_id: str) -> bool:
    try:
        return bool(mlflow.get_run(run_id).info.lifecycle_stage == "active")
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False


def _stand_in(mlflow: Any, run_id: str) -> str | None:
    """The run already made in place of one that this store does not know."""
    found = mlflow.search_runs(filter_string=f"tags.restored = '{run_id}'", output_format="list")
    return found[0].info.run_id if found else None


def _free_batch(signature: Any) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    def freed(schema: Any) -> Any:
        return Schema([TensorSpec(spec.type, (-1, *spec.shape[1:]), spec.name) for spec in schema])

    return ModelSignature(freed(signature.inputs), freed(signature.outputs))


def flat(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested params as MLflow's flat ones: ``model.hidden``, ``training.augment.gain_db``."""
    result: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = value
    return result


def lineage(source: str) -> dict[str, str]:
    """Tags that say what a run was made from: git commit, DVC's md5 of data and features, library versions."""
    tags = {f"version.{name}": version(name) for name in LIBRARIES}
    tags |= {"python": platform.python_version(), "data.source": source}
    tags |= {f"dvc.{path}": md5 for path, md5 in _tracked_data().items()}
    if "DVC_EXP_NAME" in os.environ:
        tags["dvc.exp"] = os.environ["DVC_EXP_NAME"]
    commit = _git("rev-parse", "HEAD")
    if commit:
        tags |= {"git.commit": commit, "git.dirty": str(bool(_git("status", "--porcelain"))).lower()}
    return tags


def _tracked_data() -> dict[str, str]:
    """md5 by path, as dvc.lock has them, of the data and feature outputs; and of the imported music."""
    found: dict[str, str] = {}
    if paths.LOCK.exists():
        stages = _yaml(paths.LOCK).get("stages", {})
        for stage in stages.values():
            for out in stage.get("outs", []):
                place = Path(out["path"])
                if place.parts[0] in ("data", "features") and place.parent not in (paths.CODE, paths.INPUTS):
                    found[out["path"]] = out["md5"]
    pointer = paths.MUSIC.with_suffix(".dvc")
    if pointer.exists():
        found[paths.MUSIC.as_posix()] = _yaml(pointer)["outs"][0]["md5"]
    return found


def _yaml(file: Path) -> dict[str, Any]:
    # libyaml's loader, where there is one, takes a tenth of the time
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(file.read_text(encoding="utf-8"), loader) or {}


def _git(*arguments: str) -> str:
    """What git answers; empty where this is no git checkout or git is missing."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
