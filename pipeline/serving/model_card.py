"""The model card: what a registered model was trained on, how good it is, and where it fails.

In the spirit of Mitchell et al. 2019 (Model cards for model reporting, arXiv:1810.03993).
"""

import timeit
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.base import files, paths
from pipeline.config.project import Params
from pipeline.data import split
from pipeline.evaluation import calibration, metrics
from pipeline.reports import figures
from pipeline.reports.pages import UNKNOWN, Table, markdown, table
from pipeline.serving import manifest, ood_evaluation
from pipeline.serving.bundle import Candidate, tabular_splits
from pipeline.serving.ood import OodDetector
from pipeline.serving.predictor import Predictor
from pipeline.training.trials import spec

LATENCY_RUNS = 3


@dataclass(frozen=True)
class Cost:
    size_mb: float
    latency_s: float
    """Of one clip on one thread, the median of some runs."""
    clip_s: float
    """Length of that clip."""


def measure(bundle: Path, candidate: Candidate) -> Cost:
    clip = candidate.of_part("valid").sort_values("duration_s").iloc[-1]
    predictor = Predictor(bundle)
    predictor(Path(clip["path"]))  # the first one also warms up
    times = timeit.repeat(lambda: predictor(Path(clip["path"])), number=1, repeat=LATENCY_RUNS)
    return Cost(
        sum(file.stat().st_size for file in bundle.iterdir()) / 1e6, float(np.median(times)), float(clip["duration_s"])
    )


def write(candidate: Candidate, bundle: Path, cost: Cost, version: str, decision: str, settings: Params) -> None:
    """Write the card and its figure.

    Args:
        version: in MLflow's registry.
        decision: the promotion gate's, a sentence.
    """
    known, detector = manifest.load(bundle), OodDetector.load(bundle / manifest.OOD)
    splits = tabular_splits(candidate.clips)
    rocs = {
        "noises": ood_evaluation.noises(detector, splits["valid"], known, cost.clip_s, settings.seed),
        "held-out labels": ood_evaluation.held_out_labels(splits, settings.champion.in_distribution),
    }
    curves = {f"{name} (AUROC {roc.auc:.2f})": (roc.fpr, roc.tpr) for name, roc in rocs.items()}
    figures.save(figures.roc(curves), paths.OOD_FIGURE)
    test = candidate.predicted("test")
    tempered = calibration.tempered(test)
    confident = tempered[calibration.confidence(tempered) >= known.confidence_threshold]
    model = spec(paths.MODELS / candidate.key / candidate.trial.name)
    rows = split.read()
    content = {
        "known": known,
        "cost": cost,
        "name": settings.champion.name,
        "version": version,
        "decision": decision,
        "description": model.description,
        "parameters": model.parameters,
        "train": candidate.of_part("train"),
        "source": known.source,
        "protocol": split.explained(rows),
        "scores": _scores(files.read_json(paths.EVALUATION / candidate.key / paths.SCORES)),
        "per_label": metrics.per_class(test, metrics.label_names(test)).sort_values("f1", ascending=False),
        "test_coverage": len(confident) / len(test),
        "test_right": f"{(confident['label'] == confident['predicted']).sum()} of {len(confident)}",
        "test_ood": float(np.mean(detector.distances(splits["test"].values) > known.ood_threshold)),
        "rocs": rocs,
        "shortest_s": candidate.clips["duration_s"].min(),
        "leaky": split.leaky(rows),
        "synthesised": known.synthesised,
    }
    files.write_text(paths.CARD, markdown().get_template("card.md.j2").render(content))


def _scores(scores: Mapping[str, float]) -> Table:
    rows: list[dict[str, object]] = [{"score": "macro F1, validation", "value": scores["valid_macro_f1"]}]
    for name, words in (("macro_f1", "macro F1, test"), ("accuracy", "accuracy, test")):
        low, high = (scores[f"test_{name}_{end}"] for end in ("low", "high"))
        interval = f"{low:.3f} to {high:.3f}" if np.isfinite(low) else UNKNOWN
        rows.append({"score": words, "value": scores[f"test_{name}"], "95 % interval": interval})
    rows.append({"score": "calibration error, test", "value": scores["test_ece_scaled"]})
    return table([{"score": "", "value": "", "95 % interval": UNKNOWN} | row for row in rows], "lrr")
