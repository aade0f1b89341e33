"""The comparison of all models, as one HTML file to publish and as Markdown for a repository.

The model is chosen by its validation scores alone.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from pipeline.base import files
from pipeline.evaluation.bootstrap import Comparison, Interval
from pipeline.evaluation.metrics import most_confused, ranked
from pipeline.reports import figures
from pipeline.reports.entries import DataSummary, Entry
from pipeline.reports.figures import number
from pipeline.reports.pages import UNKNOWN, Table, data_uri, environment, markdown, table

BASELINE = "majority"
"""Key of the model that always predicts the most frequent label of the training set."""


def comparison(
    entries: list[Entry], pairs: list[Comparison], leaks: Mapping[str, Mapping[str, Any]], data: DataSummary, out: Path
) -> None:
    """Write ``comparison.md``, ``comparison.html`` (self-contained) and ``figures/*.png`` to ``out``.

    Args:
        entries: at least one, with different keys.
        leaks: by experiment, as in ``evaluation/leak/<key>/leak.json``.
    """
    ranked = rank(entries)
    best = ranked[0]
    pictures = {name: figures.png(figure) for name, figure in _figures(ranked, leaks).items()}
    with files.atomic_write(out / "figures") as folder:
        folder.mkdir()
        for name, png in pictures.items():
            (folder / f"{name}.png").write_bytes(png)
    f1 = {entry.key: entry.metrics["test_macro_f1"] for entry in ranked}
    content = {
        "chosen": best,
        "pages": [(entry.key, entry.page) for entry in ranked if entry.page],
        "ranked": ranked,
        "baseline": BASELINE,
        "better_on_test": _listed([f"{key} ({number(score)})" for key, score in f1.items() if score > f1[best.key]]),
        "scores": _scores(ranked, data.leaky),
        "few_groups": _listed(data.few_groups),
        "pairs": [pair.sentence for pair in sorted(pairs, key=lambda pair: not pair.distinct)],
        "leaks": leaks,
        "ablation": _ablation(ranked),
        "calibration": _calibration(ranked),
        "extremes": [(entry.key, _extremes(entry.per_class)) for entry in ranked],
        "confused": _most_confused(best.confusion),
        "pictures": {name: data_uri("image/png", png) for name, png in pictures.items()},
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
        "number": number,
        "ends": _ends,
        "estimate": _estimate,
    }
    files.write_text(out / "comparison.html", environment().get_template("comparison.html.j2").render(content))
    files.write_text(out / "comparison.md", markdown().get_template("comparison.md.j2").render(content))


def rank(entries: list[Entry]) -> list[Entry]:
    """Best first, see :func:`pipeline.evaluation.metrics.ranked`."""
    return sorted(entries, key=lambda entry: ranked(entry.key, entry.metrics))


def _extremes(per_class: pd.DataFrame) -> str:
    """The labels with the highest and the lowest F1, in words."""
    f1 = per_class[per_class["support"] > 0].set_index("label")["f1"]
    if f1.max() == f1.min():
        return f"equally good on all labels (F1 {f1.max():.2f})"
    best, worst = (_few(list(f1.index[f1 == end])) for end in (f1.max(), f1.min()))
    return f"best on {best} (F1 {f1.max():.2f}), worst on {worst} (F1 {f1.min():.2f})"


def _most_confused(matrix: pd.DataFrame) -> dict[str, Any]:
    """The pairs of labels that are confused most often, how often, and the number of the first pair's clips."""
    pairs, taken = most_confused(matrix)
    clips = int(matrix.loc[list(pairs[0])].to_numpy().sum()) if pairs else 0
    return {"pairs": pairs, "taken": taken, "clips": clips}


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


def _figures(ranked: list[Entry], leaks: Mapping[str, Mapping[str, Any]]) -> dict[str, Figure]:
    """By name; that of the leak only if it was measured."""
    scores = pd.DataFrame([entry.metrics for entry in ranked], index=[entry.key for entry in ranked])
    drawn = {
        "scores": figures.scores(scores, baseline=BASELINE),
        "reliability": figures.reliability({entry.key: entry.reliability for entry in ranked}),
        "curves": figures.curves({entry.key: entry.history for entry in ranked}),
        "per-class": figures.per_class_heatmap({entry.key: entry.per_class for entry in ranked}),
        "confusion": figures.confusion(ranked[0].confusion, f"{ranked[0].key}, test set"),
        "confusions": figures.confusion_grid({entry.key: entry.confusion for entry in ranked}),
    }
    if measured := {key: leak for key, leak in leaks.items() if "impossible" not in leak}:
        ends = {
            f"{name}{suffix}": [leak[name][end] for leak in measured.values()]
            for name in ("grouped", "random")
            for suffix, end in (("", "value"), ("_low", "low"), ("_high", "high"))
        }
        drawn["leak"] = figures.leak(pd.DataFrame(ends, index=list(measured)))
    return drawn


def _ends(interval: Interval) -> str:
    return f"{interval.low:.2f} to {interval.high:.2f}" if math.isfinite(interval.low) else UNKNOWN


def _estimate(ends: Mapping[str, float]) -> str:
    """0.48 (0.42 to 0.54)."""
    interval = Interval(**ends)
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
