"""Songs given to a model in processes of their own, which run the code that the model was made with."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

from pipeline.parallel import each, isolated_workers

Told = dict[str, Any]
"""Of a song ``label`` (the most probable, whatever the verdict), ``verdict``, ``distance``, ``seconds`` heard and ``probabilities`` by label; else ``reason``, and
``unexpected`` where another try may do better."""


class Listen(Protocol):
    def __call__(self, songs: Sequence[Path]) -> Iterator[Told]:
        """What the model makes of the songs, in their order, with a progress bar."""
        ...


@contextmanager
def listening(package: Path, code: Path) -> Iterator[Listen]:
    """
    Args:
        package: the model's folder.
        code: what its processes import this package from, which need not be this version of it.
    """
    with isolated_workers(code) as pool:
        yield lambda songs: each(pool, partial(listen, package=package), songs, "classify", "song")


def listen(song: Path, package: Path) -> Told:
    """In plain data, which also another version of this module understands."""
    from pipeline.serving.sections import SongError

    try:
        answer = _classifier(package)(song)
    except SongError as error:
        return {"reason": str(error)}
    except Exception as error:  # one song must not cost the others
        return {"reason": f"cannot be classified: {type(error).__name__}: {error}", "unexpected": True}
    return {
        "label": answer.guess,
        "verdict": answer.verdict,
        "distance": answer.distance,
        "seconds": sum(heard.stop_s - heard.start_s for heard in answer.sections),
        "probabilities": dict(zip(answer.labels, map(float, answer.probabilities), strict=True)),
    }


@cache
def _classifier(package: Path) -> Any:
    # librosa takes seconds to import, which the process that asks can do without
    from pipeline.serving.predictor import Classifier

    return Classifier(package)
