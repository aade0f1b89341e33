"""Show one trained model's most confident mistakes on the test part, and what its answers hang on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline import paths
from pipeline.data import clips, split
from pipeline.evaluation import attribution, calibration, metrics
from pipeline.features.store import Store
from pipeline.models.exported import Exported
from pipeline.models.temperature import at_temperature
from pipeline.reports.examples import SECONDS
from pipeline.reports.model_page import Columns, Model, Patches, Saliency, explanation, looked_into
from pipeline.stages import main
from pipeline.training import splits
from pipeline.training.splits import Splits
from pipeline.training.trials import Trial, spec, specs

SHOWN = "spectrogram"
"""The picture of a clip, whatever the model hears."""


def explain(key: str) -> None:
    answers = pd.read_parquet(paths.EVALUATION / key / "predictions.parquet")
    test = calibration.tempered(metrics.of_part(answers, "test"))
    explanation(
        Model(
            key,
            specs(paths.MODELS / key)[0].description,
            split.leaky(split.read()),
        ),
        test,
        _saliencies(key, looked_into(test)),
        clips.computed(),
        {SHOWN: Store(paths.FEATURES / SHOWN)},
        (paths.EVALUATION / key / "confusion.png").read_bytes(),
        paths.MODEL_REPORTS / f"{key}.html",
    )


def _saliencies(key: str, answers: pd.DataFrame) -> list[Saliency]:
    """One for each answer, in their order; a trial's model and data are read once."""
    table, rows = clips.computed(), split.read()
    found: dict[Any, Saliency] = {}
    for (fold, seed), own in answers.groupby(["fold", "seed"]):
        folder = paths.MODELS / key / Trial(int(fold), int(seed)).name
        about = spec(folder)
        data = splits.load(about.experiment, about.window, table, rows, int(fold))
        graph = Exported(folder / "model.onnx", about.experiment.training.threads)
        found |= {place: _saliency(answer, data, graph) for place, answer in own.iterrows()}
    return [found[place] for place in answers.index]


def _saliency(answer: Any, data: Splits, graph: Exported) -> Saliency:
    """Of the window that speaks most for the answer, or of the summary."""

    def run(inputs: Sequence[attribution.Array]) -> attribution.Array:
        return at_temperature(graph(inputs).astype(np.float64), answer["temperature"])

    windows = data.windows["test"]
    (clip,) = np.flatnonzero(data.clips["test"]["clip_id"] == answer["clip_id"])
    pairs = windows.even(windows.frames)
    pairs = pairs[pairs[:, 0] == clip]
    label = data.labels.index(answer["predicted"])
    heard = windows[pairs].inputs
    strongest = int(run(heard)[:, label].argmax())
    inputs = [values[[strongest]] for values in heard]
    shown = [_shown(run, inputs, place, label, data) for place in range(len(inputs))]
    spec = _spec(data.kinds[windows.leading])
    if not spec["windowed"]:
        return Saliency(0.0, SECONDS, shown)
    frame_s = spec["params"]["hop_length"] / spec["sample_rate"]
    return Saliency(float(pairs[strongest, 1]) * frame_s, windows.frames * frame_s, shown)


def _shown(
    run: attribution.Run, inputs: Sequence[attribution.Array], place: int, label: int, data: Splits
) -> Patches | Columns:
    spec = _spec(data.kinds[place])
    if spec["windowed"]:
        falls = attribution.of_patches(run, inputs, place, label)
        return Patches(data.kinds[place], spec, inputs[place][0], falls)
    means = data.features["train"][place].describe().mean
    families = attribution.families(spec["columns"])
    return Columns(attribution.of_columns(run, inputs, place, label, means, families))


def _spec(kind: str) -> dict[str, Any]:
    return Store(paths.FEATURES / kind).spec


if __name__ == "__main__":
    main(explain, "key")
