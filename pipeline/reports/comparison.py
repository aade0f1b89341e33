"""The comparison of all models, as one HTML file to publish and as Markdown for a repository.

The model is chosen on validation alone, see :mod:`pipeline.evaluation.choice`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from matplotlib.figure import Figure

from pipeline.base import files, paths
from pipeline.base.text import UNKNOWN, duration
from pipeline.evaluation.bootstrap import Comparison, Interval
from pipeline.evaluation.choice import Choice
from pipeline.evaluation.ranking import ranked
from pipeline.reports import answer, figures
from pipeline.reports.entries import DataSummary, Entry
from pipeline.reports.figures import number
from pipeline.reports.pages import Picture, Table, environment, markdown, table


def comparison(
    entries: list[Entry],
    choice: Choice,
    pairs: list[Comparison],
    leaks: Mapping[str, Mapping[str, Any]],
    data: DataSummary,
    links: Mapping[str, str],
    out: Path,
) -> None:
    """Write ``comparison.md``, ``comparison.html`` (self-contained) and ``figures/*.png`` to ``out``.

    Args:
        entries: at least one, with different keys.
        leaks: by experiment, as in ``evaluation/leak/<key>/leak.json``.
        links: paths of other pages from ``out``, by the name to show.
    """
    ranked = rank(entries, choice.chosen)
    best = ranked[0]
    keys = [entry.key for entry in ranked]
    own = {f"Mistakes of {best.key}": quote(best.page)} if best.page else {}
    pictures = _pictures(ranked, leaks, data.leaky)
    with files.atomic_write(out / "figures") as folder:
        folder.mkdir()
        for name, picture in pictures.items():
            (folder / f"{name}.png").write_bytes(picture.png)
    content = {
        "best": best,
        "answer": answer.answer(ranked, choice, pairs, data),
        "links": {**links, **own, f"MLflow run of {best.key}": best.run[1]},
        "scores": _scores(ranked, choice, data.leaky),
        "keys": keys,
        "matrix": answer.matrix(keys, pairs),
        "pairs": len(pairs),
        "mistakes": answer.confusion_table(ranked),
        "leaks": leaks,
        "ablation": _ablation(ranked),
        "trust": answer.calibration(ranked),
        "calibration": _calibration(ranked),
        "pictures": pictures,
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
        "estimate": lambda ends: answer.estimate(Interval(**ends)),
        "gain": lambda ends: answer.estimate(Interval(**ends), write=answer.signed),
    }
    html = out / paths.COMPARISON.name
    files.write_text(html, environment().get_template("comparison.html.j2").render(content))
    files.write_text(html.with_suffix(".md"), markdown().get_template("comparison.md.j2").render(content))


def rank(entries: list[Entry], chosen: str) -> list[Entry]:
    """The chosen one first, then the best, see :func:`pipeline.evaluation.ranking.ranked`."""
    return sorted(entries, key=lambda entry: (entry.key != chosen, *ranked(entry.key, entry.metrics)))


def _scores(ranked: list[Entry], choice: Choice, leaky: bool) -> Table:
    mark = " (leaky)" if leaky else ""
    repeated = any(entry.trials > 1 for entry in ranked)
    rows: list[dict[str, object]] = []
    for entry in ranked:
        scores = entry.metrics
        rows.append(
            {
                "model": entry.key,
                f"validation F1{mark}": scores["valid_macro_f1"],
                f"test F1{mark}": scores["test_macro_f1"],
                "95 % interval": answer.ends(entry.interval),
                "ms a clip": f"{choice.costs[entry.key]:.3g}",
                **({"mean ± sd of trainings": _spread(entry)} if repeated else {}),
                f"test accuracy{mark}": scores["test_accuracy"],
                f"test precision{mark}": scores["test_macro_precision"],
                f"test recall{mark}": scores["test_macro_recall"],
                "what it is": entry.description,
            }
        )
    return table(rows, "l" + "r" * (len(rows[0]) - 2) + "l", _pages(ranked))


def _pages(ranked: list[Entry]) -> dict[str, str]:
    """Addresses of the models' pages, by key."""
    return {entry.key: quote(entry.page) for entry in ranked if entry.page}


def _spread(entry: Entry) -> str:
    if entry.trials == 1:
        return UNKNOWN
    return " ± ".join(number(entry.metrics[f"test_macro_f1_{name}"]) for name in ("mean", "sd"))


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
    rows = []
    for entry in answer.trained(ranked):
        before, after = entry.metrics["test_ece"], entry.metrics["test_ece_scaled"]
        change = "worse" if answer.worsened(before, after) else "better" if answer.worsened(after, before) else "same"
        rows.append(
            {
                "model": entry.key,
                "test loss": entry.metrics["test_loss"],
                "temperature": entry.metrics["temperature"],
                "calibration error": before,
                "after scaling": after,
                "scaling made it": change,
            }
        )
    return table(rows, "lrrrrl")


def _runs(ranked: list[Entry]) -> Table:
    rows = [
        {
            "model": entry.key,
            "trainable weights": entry.parameters,
            "epochs": str(len(entry.history) or UNKNOWN),
            "training time": duration(entry.wall_time_s),
            "MLflow run": entry.run[0],
        }
        for entry in ranked
    ]
    return table(rows, "lrrrl", dict(entry.run for entry in ranked))


def _clips(counts: pd.DataFrame) -> Table:
    """Clips by label and part, with sums at both ends."""
    whole = counts.assign(all=counts.sum(axis=1))
    rows = [*whole.itertuples(), ("all", *whole.sum())]
    return table([dict(zip(["label", *whole.columns], row, strict=True)) for row in rows], "l" + "r" * whole.shape[1])


def _pictures(ranked: list[Entry], leaks: Mapping[str, Mapping[str, Any]], leaky: bool) -> dict[str, Picture]:
    """By name; that of the leak only if it was measured."""
    scores = pd.DataFrame([entry.metrics for entry in ranked], index=[entry.key for entry in ranked])
    best, trained = ranked[0], answer.trained(ranked)
    drawn: dict[str, tuple[Figure, str, str]] = {
        "scores": (
            figures.scores(scores),
            "Bars of macro F1 on validation and test for each model",
            "Macro F1 of each model. The line over a test bar is the 95 % interval.",
        ),
        "confusion": (
            figures.confusion(best.confusion, f"{best.key}, test set"),
            f"Confusion matrix of {best.key} on the test set",
            f"Test clips of {best.key}. A cell's shade is its share of the row; right answers are on the diagonal.",
        ),
        "per-class": (
            figures.per_class_heatmap({entry.key: entry.per_class for entry in trained}),
            "Heat map of F1 by label and model on the test set",
            "F1 of each label on the test set. The label with the highest mean is on top; in brackets the number of clips.",
        ),
        "confusions": (
            figures.confusion_grid({entry.key: entry.confusion for entry in trained}),
            "Confusion matrices of all models on the test set, side by side",
            "Test clips of the trained models: rows are the true labels, columns the predictions.",
        ),
        "reliability": (
            figures.reliability({entry.key: entry.reliability for entry in trained}),
            "Accuracy by confidence for each model, before and after temperature scaling",
            "Test clips sorted by confidence (the highest probability) and cut into groups of equal size, at least 20 clips "
            "where there are enough. Dots on the diagonal are calibrated. Lines at the dots: 95 % intervals.",
        ),
        "curves": (
            figures.curves({entry.key: entry.history for entry in ranked}),
            "Curves of loss, accuracy and macro F1 by epoch for each model trained by epochs",
            "Loss and scores by epoch. The loss axes are logarithmic.",
        ),
    }
    if measured := {key: leak for key, leak in leaks.items() if "impossible" not in leak}:
        ends = {
            f"{name}{suffix}": [leak[name][end] for leak in measured.values()]
            for name in ("grouped", "random")
            for suffix, end in (("", "value"), ("_low", "low"), ("_high", "high"))
        }
        drawn["leak"] = (
            figures.leak(pd.DataFrame(ends, index=list(measured))),
            "Macro F1 with groups kept together and with groups ignored, for each model trained both ways",
            "Macro F1 of the same model with and without the leak, with 95 % intervals.",
        )
    warning = " Scores of a leaky split." if leaky else ""
    return {
        name: Picture(name, alt, text + warning, figures.png(figure)) for name, (figure, alt, text) in drawn.items()
    }
