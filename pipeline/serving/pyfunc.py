"""The pyfunc model that MLflow loads and serves, from this code and not from a pickle ("models from code").

A row is a song: ``audio``, the bytes of a file (base64 in JSON), or ``path``, a file on the machine that serves.
"""

import io
import threading
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc import PythonModel, PythonModelContext

from pipeline.serving.predictor import Predictor
from pipeline.serving.segments import SongError

MAX_SONGS = 64
"""In one request."""


class SongModel(PythonModel):  # type: ignore[misc]
    def load_context(self, context: PythonModelContext) -> None:
        self.predictor = Predictor(Path(context.artifacts["bundle"]))
        # features of one song at a time: memory stays that of one, and more processes take more cores
        self.lock = threading.Lock()

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """A row per song: label (empty unless the verdict is ``confident``), guess, confidence, verdict, distance, seconds,
        segments, and the calibrated ``p:<label>``.

        Raises:
            MlflowException: a song has no usable audio, which the server answers with status 400.
        """
        if len(model_input) > MAX_SONGS:
            raise _refused(f"{len(model_input)} songs in one request: at most {MAX_SONGS}")
        return pd.DataFrame([self._row(number, row) for number, row in enumerate(model_input.to_dict("records"))])

    def _row(self, number: int, row: dict[Hashable, Any]) -> dict[str, Any]:
        audio, path = row.get("audio"), row.get("path")
        if isinstance(audio, bytes) == isinstance(path, str):
            raise _refused(f"song {number}: give either audio, the bytes of a file, or path")
        song = io.BytesIO(audio) if isinstance(audio, bytes) else Path(str(path))
        try:
            with self.lock:
                found = self.predictor(song)
        except SongError as error:
            raise _refused(f"song {number}: {error}") from None
        columns = found.to_dict()
        probabilities = columns.pop("probabilities")
        return {
            **columns,
            "segments": len(found.segments),
            **{f"p:{label}": value for label, value in probabilities.items()},
        }


def _refused(message: str) -> MlflowException:
    return MlflowException(message, error_code=BAD_REQUEST)


mlflow.models.set_model(SongModel())
