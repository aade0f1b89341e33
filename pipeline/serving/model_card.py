"""The model card: what a registered model was trained on, how good it is, and where it fails.

In the spirit of Mitchell et al. 2019 (Model cards for model reporting, arXiv:1810.03993).
"""

import timeit
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.base import files, paths
from pipeline.base.text import UNKNOWN, percent
from pipeline.config.project import Params
from pipeline.data import split, urls
from pipeline.evaluation import bootstrap, calibration, metrics
from pipeline.evaluation.bootstrap import Interval
from pipeline.evaluation.scores import macro_f1
from pipeline.reports import answer, figures
from pipeline.reports.pages import Table, as_html, environment, markdown, table
from pipeline.serving import manifest, ood_evaluation
from pipeline.serving.bundle import Candidate, timbre_splits, valid_distances
from pipeline.serving.ood import OodDetector
from pipeline.serving.predictor import Predictor
from pipeline.tracking import registry
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
    clip = candidate.compared.sort_values("duration_s").iloc[-1]
    predictor = Predictor(bundle)
    with urls.local(urls.place(clip["path"])) as file:
        predictor(file)  # the first one also warms up
        times = timeit.repeat(lambda: predictor(file), number=1, repeat=LATENCY_RUNS)
    return Cost(
        sum(file.stat().st_size for file in bundle.iterdir()) / 1e6, float(np.median(times)), float(clip["duration_s"])
    )


def write(
    candidate: Candidate, bundle: Path, cost: Cost, decision: str, links: Mapping[str, str], settings: Params
) -> str:
    """Write the card and its figure.

    Args:
        decision: the promotion gate's, a sentence.
        links: addresses of MLflow's pages on the run and on the version, by the name to show.

    Returns:
        The card for a place that has no other report.
    """
    known, detector = manifest.load(bundle), OodDetector.load(bundle / manifest.OOD)
    splits, folds = timbre_splits(candidate.clips), [timbre_splits(fold) for fold in candidate.folds]
    near = valid_distances(candidate)
    rocs = {
        "noises": ood_evaluation.noises(detector, near, known, cost.clip_s, settings.seed),
        "held-out labels": ood_evaluation.held_out_labels(folds, settings.champion.in_distribution),
    }
    curves = {f"{name} (AUROC {roc.auc:.2f})": (roc.fpr, roc.tpr) for name, roc in rocs.items()}
    figures.save(figures.roc(curves), paths.OOD_FIGURE)
    test = candidate.predicted("test")
    model = spec(paths.MODELS / candidate.key / candidate.trial.name)
    rows = split.read()
    scores = files.read_json(paths.EVALUATION / candidate.key / paths.SCORES)
    content = {
        "known": known,
        "cost": cost,
        "decision": decision,
        "description": model.description,
        "parameters": model.parameters,
        "train": candidate.of_part("train"),
        "source": known.source,
        "protocol": split.explained(rows),
        "macro_f1": answer.estimate(macro_f1(scores), "95 % interval "),
        "valid_macro_f1": answer.estimate(macro_f1(scores, "valid"), "95 % interval "),
        "expected_macro_f1": answer.estimate(macro_f1(scores, "expected")) if candidate.trial.refit else "",
        "percent": percent,
        "promise": promise(test, known, settings.seed),
        "mistakes": answer.confusions(metrics.confusion(test, metrics.label_names(test))),
        "scores": _scores(scores),
        "per_label": metrics.per_class(test, metrics.label_names(test)).sort_values("f1", ascending=False),
        "test_ood": float(np.mean(detector.distances(splits["test"].values) > known.ood_threshold)),
        "rocs": rocs,
        "in_distribution": settings.champion.in_distribution,
        "seconds": sorted({f"{end:.1f}" for end in candidate.clips["duration_s"].agg(["min", "max"])}, key=float),
        "leaky": split.leaky(rows),
        "synthesised": known.synthesised,
        "links": links,
        "past": kept_promises(registry.past_champions(settings.champion.name)),
    }
    template = markdown().get_template("card.md.j2")
    card = template.render(content, beside_reports=True)
    files.write_text(paths.CARD, card)
    files.write_text(paths.CARD_PAGE, environment().get_template("card.html.j2").render(card=as_html(card)))
    return template.render(content, beside_reports=False)


@dataclass(frozen=True)
class Promise:
    """Confident predictions on the test set: how many are right, against the precision that the threshold promises."""

    threshold: float
    """Above 1 where none is precise enough."""
    target: float
    coverage: float
    confident: int
    right: int
    precision: Interval
    """Its ends are NaN where they are not known."""

    @property
    def sentence(self) -> str:
        target = percent(self.target)
        if self.threshold > 1:
            return f"No precision is promised: at no confidence threshold are {target} of the validation predictions right."
        if not self.confident:
            return f"**Promised precision: {target}.** Not checked: it is confident about no test clip."
        reached, ends = self.precision.value, (self.precision.low, self.precision.high)
        known = f" (95 % interval {' to '.join(map(percent, ends))})" if np.isfinite(ends).all() else ""
        chance = "That is less, but with so few clips it may be chance."
        verdict = "The promise is not kept." if self.precision.high < self.target else chance
        return (
            f"**Promised precision: {target}. Reached on the test set: {percent(reached)}**, {self.right} of "
            f"{self.confident} confident predictions{known}. {'The promise is kept.' if reached >= self.target else verdict}"
        )


def promise(test: pd.DataFrame, known: manifest.Manifest, seed: int) -> Promise:
    tempered = calibration.tempered(test)
    confident = tempered[calibration.confidence(tempered) >= known.confidence_threshold]
    right = int((confident["label"] == confident["predicted"]).sum())
    found = bootstrap.interval(confident, "accuracy", seed) if len(confident) else Interval(np.nan, np.nan, np.nan)
    coverage = len(confident) / len(test)
    return Promise(known.confidence_threshold, known.target_precision, coverage, len(confident), right, found)


def kept_promises(past: Sequence[registry.Past]) -> str:
    """How the scores that were expected of champions compare with those that they then had; empty without champions."""
    if not past:
        return ""
    differences = np.array([one.promised - one.tested for one in past])
    named = ", ".join(
        f"version {one.version} ({one.experiment}) {answer.two(one.promised)} and {answer.two(one.tested)}"
        for one in past
    )
    mean = f" On average the expected one was {differences.mean():+.3f} above that on test." if len(past) > 1 else ""
    return f"Macro F1 of the champions so far, expected and on test: {named}.{mean}"


def _scores(scores: Mapping[str, float]) -> Table:
    rows: list[dict[str, object]] = []
    shown = {
        "valid_macro_f1": "macro F1, validation",
        "expected_macro_f1": "macro F1, expected",
        "test_macro_f1": "macro F1, test",
        "test_accuracy": "accuracy, test",
    }
    for name, words in shown.items():
        low, high = (scores[f"{name}_{end}"] for end in ("low", "high"))
        interval = f"{low:.3f} to {high:.3f}" if np.isfinite(low) else UNKNOWN
        rows.append({"score": words, "value": scores[name], "95 % interval": interval})
    rows.append({"score": "calibration error, test", "value": scores["test_ece_scaled"]})
    return table([{"score": "", "value": "", "95 % interval": UNKNOWN} | row for row in rows], "lrr")
