"""A model page with several folds, whose models are made up."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper, numpy_helper
from stores import write_store

from pipeline import config
from pipeline.base import paths
from pipeline.data import clips, split
from pipeline.evaluation import metrics
from pipeline.evaluation.bootstrap import Interval
from pipeline.reports import figures
from pipeline.reports.model_page import explained, model_page
from pipeline.reports.saliency import saliencies
from pipeline.training.hardware import resolved
from pipeline.training.trials import Spec

LABELS = ["jazz", "polka", "rock"]
SPEC = {"sample_rate": 22050, "params": {"hop_length": 512}, "silence_db": -80.0, "bands": "mel"}


def looks_at(column: int, file: Path) -> None:
    """A model of eight columns and three labels whose answer depends on one column alone."""
    weights = np.zeros((8, 3), np.float32)
    weights[column] = [-2, 0, 2]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["tabular", "weights"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        ],
        "made up",
        [helper.make_tensor_value_info("tabular", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    file.parent.mkdir(parents=True)
    onnx.save(model, str(file))


def a_spec(fold: int) -> Spec:
    settings = config.load()
    return Spec(
        run_id="0" * 32,
        fold=fold,
        seed=7,
        labels=list(LABELS),
        experiment=resolved(settings.experiments["logreg"]),
        window=settings.window,
        parameters=24,
        device="cpu",
        train_seconds=0.1,
    )


def answers() -> pd.DataFrame:
    """All test clips of both folds, wrong, and the most confident ones from each fold in turn."""
    tested = pd.read_parquet(paths.SPLIT).query("part == 'test'")
    table = tested.merge(clips.read()[["clip_id", "label"]], on="clip_id").reset_index(drop=True)
    table["turn"] = table.groupby("fold").cumcount()
    confidence = 0.9 - 0.01 * table["turn"]
    following = dict(zip(LABELS, [*LABELS[1:], LABELS[0]], strict=True))
    table["predicted"] = table["label"].map(following)
    for label in LABELS:
        table[f"p:{label}"] = np.where(table["predicted"] == label, confidence, (1 - confidence) / 2)
    return table.assign(seed=7, temperature=1.0).drop(columns="turn")


def test_an_answer_is_explained_by_the_trial_that_gave_it(setup: Callable[..., None]) -> None:
    setup(split={"test_folds": 2})
    names = list(clips.good(clips.read())["clip_id"])
    write_store(paths.FEATURES / "spectrogram", names, (np.zeros((9, 4)) for _ in names), "float16", SPEC)
    for fold in (0, 1):
        folder = paths.MODELS / "logreg" / f"fold{fold}-seed7"
        looks_at(3 + fold, folder / "model.onnx")
        a_spec(fold).write(folder)
    given = answers()
    folder = paths.EVALUATION / "logreg"
    folder.mkdir(parents=True)
    given.to_parquet(folder / "predictions.parquet")
    figures.save(figures.confusion(metrics.confusion(given, LABELS), "logreg"), folder / "confusion.png")
    chosen = explained(given)
    found = saliencies(chosen, paths.MODELS / "logreg", clips.computed(), split.read(), paths.FEATURES)
    folds = list(chosen["fold"])
    assert len(set(folds)) == 2, "else this shows nothing"
    for saliency, fold in zip(found, folds, strict=True):
        (columns,) = saliency.inputs
        assert isinstance(columns, dict)
        assert [name for name, fall in columns.items() if fall] == [f"c{3 + fold}"]

    picture = (folder / "confusion.png").read_bytes()
    target = paths.MODEL_REPORTS / "logreg.html"
    tables = clips.computed(), split.read(), paths.FEATURES
    model_page("logreg", given, paths.MODELS / "logreg", *tables, picture, Interval(0.5, 0.4, 0.6), {}, target)
    page = target.read_text()
    assert "family of columns" in page
    assert "No sound: the file could not be read." in page
