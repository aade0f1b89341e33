"""The pyfunc model that MLflow loads and serves, from this code and not from a pickle ("models from code").

A row is a song: ``audio``, the bytes of a file (base64 in JSON), or ``path``, a file on the machine that serves.
"""

import hashlib
import io
import time
from collections import OrderedDict
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.environment_variables import MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, DEADLINE_EXCEEDED
from mlflow.pyfunc import PythonModel, PythonModelContext

from pipeline.serving.predictor import Predictor, SegmentPrediction, SongPrediction
from pipeline.serving.segments import SongError

MAX_SONGS = 64
"""In one request."""
REMEMBERED = 1024
"""Songs whose predictions are kept, so that a request that ran out of time goes on when it is sent again."""
SHARE = 0.95
"""Of a request's time, after which its answer says how far it came; MLflow's own answer after all of it says nothing."""


class SongModel(PythonModel):  # type: ignore[misc]
    def load_context(self, context: PythonModelContext) -> None:
        self.predictor = Predictor(Path(context.artifacts["bundle"]))
        # segments of all requests in turn: memory stays that of one, a request that nobody waits for any more does not
        # hold up others, and more processes take more cores
        self.turns = ThreadPoolExecutor(1)
        self.known: OrderedDict[Hashable, SongPrediction] = OrderedDict()

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """A row per song: label (empty unless the verdict is ``confident``), guess, confidence, verdict, distance, seconds,
        segments, and the calibrated ``p:<label>``.

        Raises:
            MlflowException: a song has no usable audio, which the server answers with status 400; or the request took
                longer than the server allows, 504.
        """
        if len(model_input) > MAX_SONGS:
            raise _refused(f"{len(model_input)} songs in one request: at most {MAX_SONGS}")
        limit = MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT
        end = time.monotonic() + SHARE * limit.get() if limit.is_set() else float("inf")
        return pd.DataFrame([self._row(number, row, end) for number, row in enumerate(model_input.to_dict("records"))])

    def _row(self, number: int, row: dict[Hashable, Any], end: float) -> dict[str, Any]:
        audio, path = row.get("audio"), row.get("path")
        if isinstance(audio, bytes) == isinstance(path, str):
            raise _refused(f"song {number}: give either audio, the bytes of a file, or path")
        try:
            found = self._found(audio if isinstance(audio, bytes) else Path(str(path)), end)
        except SongError as error:
            raise _refused(f"song {number}: {error}") from None
        except TimeoutError:
            raise MlflowException(
                f"the request's time is over in song {number}. The songs before are kept: send the request again, or "
                "fewer songs at a time. `soundtrack serve --timeout SECONDS` allows more time",
                error_code=DEADLINE_EXCEEDED,
            ) from None
        columns = found.to_dict()
        probabilities = columns.pop("probabilities")
        return {
            **columns,
            "segments": len(found.segments),
            **{f"p:{label}": value for label, value in probabilities.items()},
        }

    def _found(self, song: bytes | Path, end: float) -> SongPrediction:
        """
        Raises:
            SongError: the song has no usable audio.
            TimeoutError: it is not done by ``end``.
        """
        key = _key(song)
        if key not in self.known:
            decoded = self.predictor.decode(io.BytesIO(song) if isinstance(song, bytes) else song)

            def step() -> SegmentPrediction | None:
                following = next(decoded, None)
                return following and self.predictor.predict_segment(*following)

            segments = []
            while (segment := self.turns.submit(step).result()) is not None:
                segments.append(segment)
                if time.monotonic() > end:
                    raise TimeoutError
            self.known[key] = self.predictor.combine(segments)
            if len(self.known) > REMEMBERED:
                self.known.popitem(last=False)
        return self.known[key]


def _key(song: bytes | Path) -> Hashable:
    """Of the content; of a path, without reading it."""
    if isinstance(song, bytes):
        return hashlib.sha256(song).digest()
    try:
        state = song.stat()
    except OSError:
        return str(song)
    return str(song), state.st_size, state.st_mtime_ns


def _refused(message: str) -> MlflowException:
    return MlflowException(message, error_code=BAD_REQUEST)


mlflow.models.set_model(SongModel())
