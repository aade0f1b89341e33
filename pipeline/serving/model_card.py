"""The model card: what a registered model was trained on, how good it is, and where it fails.

In the spirit of Mitchell et al. 2019 (Model cards for model reporting, arXiv:1810.03993).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.base import files, paths
from pipeline.config.project import Params
from pipeline.data import clips, split
from pipeline.evaluation import calibration, metrics
from pipeline.reports import figures
from pipeline.reports.pages import UNKNOWN, Table, markdown, table
from pipeline.serving import manifest, ood_evaluation
from pipeline.serving.bundle import Candidate, tabular_splits
from pipeline.serving.manifest import Manifest
from pipeline.serving.ood import OodDetector
from pipeline.serving.ood_evaluation import Roc
from pipeline.serving.predictor import Predictor
from pipeline.training.trials import spec

LATENCY_RUNS = 3
OOD_SETS = {
    "noises": "generated noises: white, pink, hum, clicks, sweep, syllables of noise",
    "held-out labels": "each label in turn, held out of training",
}


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
    times = []
    for _ in range(LATENCY_RUNS):
        start = time.perf_counter()
        predictor(Path(clip["path"]))
        times.append(time.perf_counter() - start)
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
        "data": _data(candidate),
        "protocol": split.explained(rows),
        "scores": _scores(files.read_json(paths.EVALUATION / candidate.key / paths.SCORES)),
        "per_label": _per_label(test),
        "test_coverage": len(confident) / len(test),
        "test_right": f"{(confident['label'] == confident['predicted']).sum()} of {len(confident)}",
        "test_ood": float(np.mean(detector.distances(splits["test"].values) > known.ood_threshold)),
        "ood": _ood(rocs),
        "ood_note": _ood_note(rocs["held-out labels"]),
        "limits": _limits(split.leaky(rows), candidate.clips, known),
    }
    files.write_text(paths.CARD, markdown().get_template("card.md.j2").render(content))


def _data(candidate: Candidate) -> str:
    train = candidate.of_part("train")
    return (
        f"{len(train)} clips of {train['group'].nunique()} groups, {train['duration_s'].sum() / 60:.0f} minutes, "
        f"source {clips.source(candidate.clips)}"
    )


def _scores(scores: Mapping[str, float]) -> Table:
    rows: list[dict[str, object]] = [{"score": "macro F1, validation", "value": scores["valid_macro_f1"]}]
    for name, words in (("macro_f1", "macro F1, test"), ("accuracy", "accuracy, test")):
        low, high = (scores[f"test_{name}_{end}"] for end in ("low", "high"))
        interval = f"{low:.3f} to {high:.3f}" if np.isfinite(low) else UNKNOWN
        rows.append({"score": words, "value": scores[f"test_{name}"], "95 % interval": interval})
    rows.append({"score": "calibration error, test", "value": scores["test_ece_scaled"]})
    return table([{"score": "", "value": "", "95 % interval": UNKNOWN} | row for row in rows], "lrr")


def _per_label(test: pd.DataFrame) -> str:
    scores = metrics.per_class(test, metrics.label_names(test)).sort_values("f1", ascending=False)
    best_first = ", ".join(f"{row.label} ({row.f1:.2f})" for row in scores.itertuples())
    return f"Test F1 by label: {best_first}."


def _ood(rocs: Mapping[str, Roc]) -> Table:
    rows = [
        {
            "out of distribution": OOD_SETS[name],
            "clips": roc.clips,
            "detected": f"{roc.detected:.0%}",
            "AUROC": f"{roc.auc:.2f}",
        }
        for name, roc in rocs.items()
    ]
    return table(rows, "lrrr")


def _ood_note(held_out: Roc) -> str:
    if held_out.auc < 0.7:
        return (
            "A style that is missing from training is rarely detected if it sounds like the trained ones. "
            "Then only a low confidence can warn."
        )
    return "Styles that are missing from training are often detected, not always."


def _limits(leaky: str | None, good: pd.DataFrame, known: Manifest) -> list[str]:
    limits = [
        f"The model has {len(known.labels)} labels. All music that is not out of distribution gets one of them.",
        f"It was trained and evaluated on clips of {good['duration_s'].min():.1f} to {known.longest_s:.1f} s. "
        f"Averaging over the segments of longer songs was not evaluated.",
    ]
    if leaky:
        limits.append(f"Its scores are too optimistic: {leaky}.")
    origins = good["origin"].str.split(" ").str[:4].str.join(" ").unique()
    if any(origin.startswith("synth") for origin in origins):
        limits.append("Its clips are synthesised from scores: recordings are out of distribution.")
    return limits
