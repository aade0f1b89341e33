"""The comparison of all models, as one HTML file to publish and as Markdown for a repository.

The model is chosen by its validation scores alone.
"""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.base import files
from pipeline.evaluation.bootstrap import Comparison, Interval
from pipeline.evaluation.metrics import most_confused, ranked
from pipeline.reports import curves, figures
from pipeline.reports.entries import DataSummary, Entry
from pipeline.reports.pages import UNKNOWN, Picture, Table, environment, markdown, picture, table

Found = Mapping[str, Any]
BASELINE = "majority"
"""Key of the model that always predicts the most frequent label of the training set."""


def comparison(
    entries: list[Entry], pairs: list[Comparison], leaks: Mapping[str, Found], data: DataSummary, out: Path
) -> None:
    """Write ``comparison.md``, ``comparison.html`` (self-contained) and ``figures/*.png`` to ``out``.

    Args:
        entries: at least one, with different keys.
        leaks: by experiment, as in ``evaluation/leak/<key>/leak.json``.
    """
    ranked = rank(entries)
    best = ranked[0]
    with files.atomic_write(out / "figures") as folder:
        pictures = _pictures(ranked, leaks, folder)
    content = {
        "chosen": best,
        "pages": [(entry.key, entry.page) for entry in ranked if entry.page],
        "sentences": [_chosen(best), *_baseline(ranked), *_better_on_test(ranked)],
        "scores": _scores(ranked, data.leaky),
        "few_groups": _listed(data.few_groups),
        "pairs": [pair.sentence for pair in sorted(pairs, key=lambda pair: not pair.distinct)],
        "leaks": [_leak(key, leak) for key, leak in leaks.items()],
        "ablation": _ablation(ranked),
        "calibration": _calibration(ranked),
        "extremes": [(entry.key, _extremes(entry.per_class)) for entry in ranked],
        "confused": _confused(best),
        "pictures": {picture.name: _marked(picture) if data.leaky else picture for picture in pictures},
        "data": data,
        "clips": _clips(data.counts),
        "rejections": sum(data.rejected.values()),
        "rejected": table(
            [
                {"reason": reason, "clips": count}
                for reason, count in sorted(data.rejected.items(), key=lambda item: (-item[1], item[0]))
            ],
            "lr",
        ),
        "runs": _runs(ranked),
    }
    files.write_text(out / "comparison.html", environment().get_template("comparison.html.j2").render(content))
    files.write_text(out / "comparison.md", markdown().get_template("comparison.md.j2").render(content))


def rank(entries: list[Entry]) -> list[Entry]:
    """Best first, see :func:`pipeline.evaluation.metrics.ranked`."""
    return sorted(entries, key=lambda entry: ranked(entry.key, entry.metrics))


def _chosen(best: Entry) -> str:
    scores = best.metrics
    return (
        f"It has the highest validation macro F1, {figures.number(scores['valid_macro_f1'])}. Test scores were not used to "
        f"choose. On the test set it has a macro F1 of {figures.number(scores['test_macro_f1'])} ({_ends(best.interval)}) "
        f"and an accuracy of {figures.number(scores['test_accuracy'])} on {best.test_clips} clips."
    )


def _baseline(ranked: list[Entry]) -> list[str]:
    if ranked[0].key == BASELINE:
        return ["No model beats the baseline on validation, which always predicts the most frequent label."]
    return [
        f"The baseline {BASELINE}, which always predicts the most frequent label, has a test macro F1 of "
        f"{figures.number(entry.metrics['test_macro_f1'])}."
        for entry in ranked
        if entry.key == BASELINE
    ]


def _better_on_test(ranked: list[Entry]) -> list[str]:
    scores = {entry.key: entry.metrics["test_macro_f1"] for entry in ranked}
    better = [f"{key} ({figures.number(score)})" for key, score in scores.items() if score > scores[ranked[0].key]]
    if not better:
        return []
    return [f"Higher test macro F1: {_listed(better)}. We do not choose by test score; that would make it optimistic."]


def _extremes(per_class: pd.DataFrame) -> str:
    """The labels with the highest and the lowest F1, in words."""
    f1 = per_class[per_class["support"] > 0].set_index("label")["f1"]
    if f1.max() == f1.min():
        return f"equally good on all labels (F1 {f1.max():.2f})"
    best, worst = (_few(list(f1.index[f1 == end])) for end in (f1.max(), f1.min()))
    return f"best on {best} (F1 {f1.max():.2f}), worst on {worst} (F1 {f1.min():.2f})"


def _confused(best: Entry) -> str:
    """The two labels that the model confuses most often, in words."""
    pairs, taken = most_confused(best.confusion)
    if not pairs:
        return f"{best.key} confuses no two labels on the test set."
    clips = int(best.confusion.loc[list(pairs[0])].to_numpy().sum())
    first, *others = [f"{one} and {other}" for one, other in pairs]
    text = (
        f"On the test set {best.key} confuses {first} most often: {taken} of their {clips} clips are predicted as "
        "the other."
    )
    return f"{text} As often: {'; '.join(others)}." if others else text


def _leak(key: str, leak: Found) -> str:
    if "impossible" in leak:
        return f"{key}: the leak could not be measured: {leak['impossible']}"
    if leak["groups"] == leak["clips"]:
        return f"{key}: every clip is a group of its own, so there is no leak to measure."
    how = f"in {leak['folds']} folds" if leak["folds"] > 1 else "on one split"
    grouped, random, gap = (Interval(**leak[name]) for name in ("grouped", "random", "gap"))
    found = f"The leak is worth {_range(gap)}." if gap.low > 0 else f"No leak detected: {_range(gap)}."
    return (
        f"{key} has a macro F1 of {_range(grouped)} {how} with groups kept together, and of {_range(random)} with "
        f"groups ignored. {found}"
    )


def _scores(ranked: list[Entry], leaky: bool) -> Table:
    mark = " (leaky)" if leaky else ""
    repeated = any(entry.trials > 1 for entry in ranked)
    rows: list[dict[str, object]] = []
    for entry in ranked:
        scores, (loss, f1) = entry.metrics, entry.fluctuation
        rows.append(
            {
                "model": entry.key,
                "what it is": entry.description,
                f"valid F1{mark}": scores["valid_macro_f1"],
                f"test F1{mark}": scores["test_macro_f1"],
                "95 % interval": _ends(entry.interval),
                **({"mean ± sd of trainings": _spread(entry)} if repeated else {}),
                f"test accuracy{mark}": scores["test_accuracy"],
                f"test precision{mark}": scores["test_macro_precision"],
                f"test recall{mark}": scores["test_macro_recall"],
                "loss fluctuation": loss,
                "F1 fluctuation": f1,
            }
        )
    return table(rows, "ll" + "r" * (len(rows[0]) - 2))


def _spread(entry: Entry) -> str:
    if entry.trials == 1:
        return UNKNOWN
    return " ± ".join(figures.number(entry.metrics[f"test_macro_f1_{name}"]) for name in ("mean", "sd"))


def _ablation(ranked: list[Entry]) -> Table:
    rows = [
        {
            "model": entry.key,
            "branch": row.branch,
            "macro F1 without it": row.macro_f1,
            "drop": f"{row.worth:+.3f}",
            "95 % interval": f"{row.low:+.3f} to {row.high:+.3f}",
        }
        for entry in ranked
        if entry.ablation is not None
        for row in entry.ablation.itertuples()
    ]
    return table(rows, "llrrr")


def _calibration(ranked: list[Entry]) -> Table:
    rows = [
        {
            "model": entry.key,
            "test loss": entry.metrics["test_loss"],
            "calibration error": entry.metrics["test_ece"],
            "temperature": entry.metrics["temperature"],
            "calibration error after scaling": entry.metrics["test_ece_scaled"],
        }
        for entry in ranked
    ]
    return table(rows, "lrrrr")


def _runs(ranked: list[Entry]) -> Table:
    rows = [
        {
            "model": entry.key,
            "trainable weights": entry.parameters,
            "epochs": str(len(entry.history) or UNKNOWN),
            "wall time": _duration(entry.wall_time_s),
            "MLflow run": entry.run_id or UNKNOWN,
        }
        for entry in ranked
    ]
    return table(rows, "lrrrl")


def _clips(counts: pd.DataFrame) -> Table:
    """Clips by label and part, with sums at both ends."""
    whole = counts.assign(all=counts.sum(axis=1))
    rows = [*whole.itertuples(), ("all", *whole.sum())]
    return table([dict(zip(["label", *whole.columns], row, strict=True)) for row in rows], "l" + "r" * whole.shape[1])


def _pictures(ranked: list[Entry], leaks: Mapping[str, Found], folder: Path) -> list[Picture]:
    best = ranked[0]
    scores = pd.DataFrame([entry.metrics for entry in ranked], index=[entry.key for entry in ranked])
    return [
        picture(
            folder / "scores.png",
            figures.scores(scores, baseline=BASELINE),
            alt="Bars of macro F1 on validation and test for each model",
            caption=f"Macro F1 of each model, sorted by validation, with the 95 % interval of the test score. "
            f"Chosen: {best.key}.",
        ),
        *_leak_picture(leaks, folder),
        picture(
            folder / "reliability.png",
            figures.reliability({entry.key: entry.reliability for entry in ranked}),
            alt="Accuracy by confidence for each model, before and after temperature scaling",
            caption="Accuracy by confidence (the highest probability). Calibrated models lie on the diagonal. The size "
            "of a dot is its share of the test clips.",
        ),
        picture(
            folder / "curves.png",
            curves.curves({entry.key: entry.history for entry in ranked}),
            alt="Curves of loss, accuracy and macro F1 by epoch for each model trained by epochs",
            caption="Loss and scores by epoch. The loss axes are logarithmic.",
        ),
        picture(
            folder / "per-class.png",
            figures.per_class_heatmap({entry.key: entry.per_class for entry in ranked}),
            alt="Heat map of F1 by label and model on the test set",
            caption="F1 of each label on the test set, sorted by the mean over the models.",
        ),
        picture(
            folder / "confusion.png",
            figures.confusion(best.confusion, f"{best.key}, test set"),
            alt=f"Confusion matrix of {best.key} on the test set",
            caption=f"Test clips of {best.key} by actual and predicted label; a cell's shade is its share of the row.",
        ),
        picture(
            folder / "confusions.png",
            figures.confusion_grid({entry.key: entry.confusion for entry in ranked}),
            alt="Confusion matrices of all models on the test set, side by side",
            caption="Test clips of all models by actual (rows) and predicted (columns) label.",
        ),
    ]


def _leak_picture(leaks: Mapping[str, Found], folder: Path) -> list[Picture]:
    """None if nothing was measured."""
    measured = {key: leak for key, leak in leaks.items() if "impossible" not in leak}
    if not measured:
        return []
    scores = {
        f"{name}{suffix}": [leak[name][end] for leak in measured.values()]
        for name in ("grouped", "random")
        for suffix, end in (("", "value"), ("_low", "low"), ("_high", "high"))
    }
    return [
        picture(
            folder / "leak.png",
            figures.leak(pd.DataFrame(scores, index=list(measured))),
            alt="Macro F1 with groups kept together and with groups ignored, for each model trained both ways",
            caption="Macro F1 of the same model with and without the leak, with 95 % intervals.",
        )
    ]


def _marked(picture: Picture) -> Picture:
    return dataclasses.replace(picture, caption=f"{picture.caption} Scores of a leaky split.")


def _ends(interval: Interval) -> str:
    return f"{interval.low:.2f} to {interval.high:.2f}" if math.isfinite(interval.low) else UNKNOWN


def _range(interval: Interval) -> str:
    """0.48 (0.42 to 0.54)."""
    return f"{interval.value:.2f}" + (f" ({_ends(interval)})" if math.isfinite(interval.low) else "")


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _few(names: list[str]) -> str:
    return _listed(names) if len(names) <= 3 else f"{len(names)} labels"


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
