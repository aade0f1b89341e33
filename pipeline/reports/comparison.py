"""The comparison of all models as one HTML file to publish and as Markdown for a repository.

The model is chosen on the validation part alone; test scores stand beside it and decide nothing.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import files
from pipeline.evaluation.bootstrap import Comparison, Interval
from pipeline.evaluation.metrics import fluctuation, most_confused, ranked
from pipeline.reports import figures
from pipeline.reports.pages import Picture, Table, environment, markdown, picture

BASELINE = "majority"
"""Key of the model that always answers the most frequent label of the training part."""
NEEDED = (
    "valid_macro_f1",
    "valid_loss",
    "test_macro_f1",
    "test_accuracy",
    "test_macro_precision",
    "test_macro_recall",
    "test_macro_f1_low",
    "test_macro_f1_high",
    "test_loss",
    "test_ece",
    "test_ece_scaled",
    "temperature",
)
UNKNOWN = "–"


@dataclass(frozen=True)
class Entry:
    """One trained and evaluated model."""

    key: str
    description: str
    """Model and features, e.g. ``cnn on spectrogram``."""
    metrics: Mapping[str, float]
    """As in ``evaluation/<key>/scores.json``."""
    history: pd.DataFrame
    """As in ``history/<key>.csv``: rows by fold, seed and epoch; none for a model that is not trained by epochs."""
    per_class: pd.DataFrame
    """Of the test part, from :func:`pipeline.evaluation.metrics.per_class`."""
    confusion: pd.DataFrame
    """Of the test part, from :func:`pipeline.evaluation.metrics.confusion`."""
    reliability: tuple[pd.DataFrame, pd.DataFrame]
    """Of the test part, before and after temperature scaling, from :mod:`pipeline.evaluation.calibration`."""
    test_clips: int
    trials: int
    """Trainings: folds times seeds."""
    run_id: str | None
    """The MLflow run, if it is known."""
    wall_time_s: float
    parameters: int
    """Trainable weights."""
    ablation: pd.DataFrame | None = None
    """Of a fusion, from :func:`pipeline.evaluation.ablation.table`."""
    page: str | None = None
    """Where the page on its mistakes lies, from the report's folder; models of pictures have none."""


@dataclass(frozen=True)
class Leak:
    """Scores of one experiment with its groups kept together, and with them ignored, on the same clips."""

    key: str
    grouped: Interval
    random: Interval
    gap: Interval
    folds: int
    clips: int
    groups: int


@dataclass(frozen=True)
class NoLeak:
    """Why an experiment could not be trained both ways."""

    key: str
    reason: str


@dataclass(frozen=True)
class DataSummary:
    """What the models were trained and evaluated on."""

    source: str
    origin: str
    """What the clips are, as a sentence, e.g. ``Clips are synthesised from scores.``"""
    protocol: str
    """How they were split, as a sentence."""
    leaky: bool
    """The split lets clips that belong together stand on both sides."""
    counts: pd.DataFrame
    """Clips by label (index) and part (columns), of the first fold."""
    few_groups: list[str]
    """Labels whose test clips come from one or two groups."""
    rejected: Mapping[str, int]
    """Rejected clips by reason."""


def comparison(
    entries: list[Entry], pairs: list[Comparison], leaks: list[Leak | NoLeak], data: DataSummary, out: Path
) -> None:
    """Write ``comparison.md``, ``comparison.html`` (self-contained) and ``figures/*.png`` to ``out``.

    Raises:
        ValueError: there is no entry, a key comes twice, or an entry lacks a metric.
    """
    _check(entries)
    ranked = rank(entries)
    with files.atomic_write(out / "figures") as folder:
        pictures = _pictures(ranked, leaks, folder)
    content = {
        "chosen": ranked[0],
        "pages": [(entry.key, entry.page) for entry in ranked if entry.page],
        "sentences": _sentences(ranked),
        "scores": _scores(ranked, data.leaky),
        "interval_note": _interval_note(data.few_groups),
        "pairs": [pair.sentence for pair in sorted(pairs, key=lambda pair: not pair.distinct)],
        "leaks": [_leaked(leak) for leak in leaks],
        "ablation": _ablation(ranked),
        "calibration": _calibration(ranked),
        "extremes": [(entry.key, _extremes(entry.per_class)) for entry in ranked],
        "confused": _confused(ranked[0]),
        "pictures": {picture.name: _marked(picture) if data.leaky else picture for picture in pictures},
        "data": data,
        "clips": _clips(data.counts),
        "rejections": sum(data.rejected.values()),
        "rejected": _rejected(data.rejected),
        "runs": _runs(ranked),
    }
    files.write_text(
        out / "comparison.html", environment().get_template("comparison.html.j2").render(content)
    )
    files.write_text(out / "comparison.md", markdown().get_template("comparison.md.j2").render(content))


def rank(entries: list[Entry]) -> list[Entry]:
    """Best first, see :func:`pipeline.evaluation.metrics.ranked`."""
    return sorted(entries, key=lambda entry: ranked(entry.key, entry.metrics))


def _check(entries: list[Entry]) -> None:
    if not entries:
        raise ValueError("there is no model to compare: name at least one in params.yaml, experiments")
    keys = [entry.key for entry in entries]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"models to compare come twice: {twice}")
    for entry in entries:
        missing = [name for name in NEEDED if name not in entry.metrics]
        if missing:
            raise ValueError(f"metrics of {entry.key!r} lack {missing}: run its stage evaluate again")


def _sentences(ranked: list[Entry]) -> list[str]:
    best = ranked[0]
    return [
        f"It has the highest macro F1 on the validation part, {_score(best, 'valid_macro_f1')}, and was "
        "chosen by that alone. The test part was looked at once, after training, and had no say in the "
        f"choice: there it reaches a macro F1 of {_score(best, 'test_macro_f1')} "
        f"({_interval(best)}) and an accuracy of "
        f"{_score(best, 'test_accuracy')} on {best.test_clips} clips.",
        *_against_baseline(ranked),
        *_better_on_test(ranked),
    ]


def _against_baseline(ranked: list[Entry]) -> list[str]:
    best = ranked[0]
    if best.key == BASELINE:
        return ["No model does better on validation than always answering the most frequent label."]
    return [
        "Always answering the most frequent label gives a macro F1 of "
        f"{_score(entry, 'test_macro_f1')} on the test part ({BASELINE})."
        for entry in ranked
        if entry.key == BASELINE
    ]


def _better_on_test(ranked: list[Entry]) -> list[str]:
    best = ranked[0].metrics["test_macro_f1"]
    better = [
        f"{entry.key} ({_score(entry, 'test_macro_f1')})"
        for entry in ranked[1:]
        if entry.metrics["test_macro_f1"] > best
    ]
    if not better:
        return []
    return [
        f"On the test part a higher macro F1 is reached by {_listed(better)}; to choose by that would turn "
        "the test part into a second validation part."
    ]


def _extremes(per_class: pd.DataFrame) -> str:
    """Which labels a model finds easiest and hardest, in words."""
    f1 = per_class[per_class["support"] > 0].set_index("label")["f1"]
    easiest, hardest = f1[f1 == f1.max()], f1[f1 == f1.min()]
    if f1.max() == f1.min():
        return f"finds all labels equally hard (F1 {f1.max():.2f})"
    return (
        f"finds {_few(easiest.index)} easiest (F1 {f1.max():.2f}) and {_few(hardest.index)} hardest "
        f"(F1 {f1.min():.2f})"
    )


def _confused(best: Entry) -> str:
    """Which two labels the model confuses most often, in words."""
    pairs, taken = most_confused(best.confusion)
    if not pairs:
        return f"{best.key} confuses no two labels on the test part."
    clips = int(best.confusion.loc[list(pairs[0])].to_numpy().sum())
    first, *others = [f"{one} and {other}" for one, other in pairs]
    text = (
        f"The two labels that {best.key} confuses most often on the test part are {first}: "
        f"{taken} of their {clips} clips are taken for the other."
    )
    return f"{text} As often: {'; '.join(others)}." if others else text


def _scores(ranked: list[Entry], leaky: bool) -> Table:
    mark = " (leaky)" if leaky else ""
    repeated = any(entry.trials > 1 for entry in ranked)
    columns = [
        "model",
        "what it is",
        f"valid F1{mark}",
        f"test F1{mark}",
        "95 % interval",
        *(["over trainings"] if repeated else []),
        f"test accuracy{mark}",
        f"test precision{mark}",
        f"test recall{mark}",
        "loss fluctuation",
        "F1 fluctuation",
    ]
    rows = [
        [
            entry.key,
            entry.description,
            _score(entry, "valid_macro_f1"),
            _score(entry, "test_macro_f1"),
            _interval(entry),
            *([_spread(entry)] if repeated else []),
            _score(entry, "test_accuracy"),
            _score(entry, "test_macro_precision"),
            _score(entry, "test_macro_recall"),
            _number(_restless(entry, "valid_loss")),
            _number(_restless(entry, "valid_macro_f1")),
        ]
        for entry in ranked
    ]
    return Table(columns, "ll" + "r" * (len(columns) - 2), rows)


def _interval_note(few_groups: list[str]) -> str:
    text = (
        "The interval is a bootstrap over groups, not clips: clips of one group say little more than one of them. It "
        "leaves the trained models as they are"
    )
    if not few_groups:
        return f"{text}."
    return f"{text}, and is too narrow for labels with one or two groups on test: {_listed(few_groups)}."


def _restless(entry: Entry, column: str) -> float:
    """Fluctuation of a curve, as a mean over trainings."""
    curves = [rows[column] for _, rows in entry.history.groupby(["fold", "seed"])]
    return float(np.mean([fluctuation(curve) for curve in curves])) if curves else float("nan")


def _spread(entry: Entry) -> str:
    if entry.trials == 1:
        return UNKNOWN
    mean, deviation = entry.metrics["test_macro_f1_mean"], entry.metrics["test_macro_f1_sd"]
    return f"{_number(mean)} ± {_number(deviation)}"


def _leaked(leak: Leak | NoLeak) -> str:
    if isinstance(leak, NoLeak):
        return f"{leak.key} could not be trained with its groups kept together: {leak.reason}"
    if leak.groups == leak.clips:
        return f"{leak.key}: each clip is a group of its own, so there is nothing to keep together."
    how = f"in {leak.folds} folds" if leak.folds > 1 else "on one split"
    text = (
        f"{leak.key} reaches a macro F1 of {_range(leak.grouped)} {how} that keep groups together, and "
        f"{_range(leak.random)} with groups ignored: "
    )
    if leak.gap.low > 0:
        return f"{text}the leak alone is worth {_range(leak.gap)}."
    return f"{text}a leak cannot be told from chance, {_range(leak.gap)}."


def _ablation(ranked: list[Entry]) -> Table:
    rows = [
        [
            entry.key,
            str(row.branch),
            _number(row.macro_f1),
            f"{row.worth:+.3f}",
            f"{row.low:+.3f} to {row.high:+.3f}",
        ]
        for entry in ranked
        if entry.ablation is not None
        for row in entry.ablation.itertuples()
    ]
    return Table(["model", "branch", "macro F1 without it", "worth", "interval"], "llrrr", rows)


def _calibration(ranked: list[Entry]) -> Table:
    columns = ["model", "test loss", "calibration error", "temperature", "calibration error after scaling"]
    names = ("test_loss", "test_ece", "temperature", "test_ece_scaled")
    rows = [[entry.key, *(_score(entry, name) for name in names)] for entry in ranked]
    return Table(columns, "lrrrr", rows)


def _runs(ranked: list[Entry]) -> Table:
    rows = [
        [
            entry.key,
            f"{entry.parameters:,}",
            str(len(entry.history) or UNKNOWN),
            _duration(entry.wall_time_s),
            entry.run_id or UNKNOWN,
        ]
        for entry in ranked
    ]
    return Table(["model", "trainable weights", "epochs", "wall time", "MLflow run"], "lrrrl", rows)


def _clips(counts: pd.DataFrame) -> Table:
    """Clips by label and part, with sums at both ends."""
    whole = counts.assign(all=counts.sum(axis=1))
    rows = [[str(label), *map(str, map(int, row))] for label, *row in whole.itertuples()]
    sums = ["all", *(str(int(value)) for value in whole.sum())]
    return Table(["label", *map(str, whole.columns)], "l" + "r" * whole.shape[1], [*rows, sums])


def _rejected(reasons: Mapping[str, int]) -> Table:
    rows = [
        [reason, str(count)]
        for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    ]
    return Table(["reason", "clips"], "lr", rows)


def _pictures(ranked: list[Entry], leaks: list[Leak | NoLeak], folder: Path) -> list[Picture]:
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
        *_leak_picture([leak for leak in leaks if isinstance(leak, Leak)], folder),
        picture(
            folder / "reliability.png",
            figures.reliability({entry.key: entry.reliability for entry in ranked}),
            alt="Accuracy by the probability of the answer for each model, before and after temperature scaling",
            caption="How often an answer is right, by how sure the model is of it; right probabilities lie on the "
            "diagonal. A dot's size is its share of the test clips.",
        ),
        picture(
            folder / "curves.png",
            figures.curves({entry.key: entry.history for entry in ranked}),
            alt="Curves of loss, accuracy and macro F1 by epoch for each model trained by epochs",
            caption="How loss and scores move while the models learn. The loss axes are logarithmic.",
        ),
        picture(
            folder / "per-class.png",
            figures.per_class_heatmap({entry.key: entry.per_class for entry in ranked}),
            alt="Heat map of F1 by label and model on the test part",
            caption="F1 of each label on the test part; labels that the models find easiest on top.",
        ),
        picture(
            folder / "confusion.png",
            figures.confusion(best.confusion, f"{best.key}, test part"),
            alt=f"Confusion matrix of {best.key} on the test part",
            caption=f"Test clips of {best.key} by actual and predicted label; "
            "a cell's shade is its share of the row.",
        ),
        picture(
            folder / "confusions.png",
            figures.confusion_grid({entry.key: entry.confusion for entry in ranked}),
            alt="Confusion matrices of all models on the test part, side by side",
            caption="Test clips of all models by actual (rows) and predicted (columns) label.",
        ),
    ]


def _marked(picture: Picture) -> Picture:
    return dataclasses.replace(picture, caption=f"{picture.caption} Scores of a leaky split.")


def _leak_picture(leaks: list[Leak], folder: Path) -> list[Picture]:
    """None if nothing was measured."""
    if not leaks:
        return []
    names = [f"{name}{end}" for name in ("grouped", "random") for end in ("", "_low", "_high")]
    rows = [[*dataclasses.astuple(leak.grouped), *dataclasses.astuple(leak.random)] for leak in leaks]
    table = pd.DataFrame(rows, columns=names, index=[leak.key for leak in leaks])
    return [
        picture(
            folder / "leak.png",
            figures.leak(table),
            alt="Macro F1 with groups kept together and with groups ignored, for each model trained both ways",
            caption="What the same model scores, and what it would have claimed, with 95 % intervals.",
        )
    ]


def _interval(entry: Entry) -> str:
    low, high = (entry.metrics[f"test_macro_f1_{end}"] for end in ("low", "high"))
    return f"{low:.2f} to {high:.2f}" if math.isfinite(low) else UNKNOWN


def _range(interval: Interval) -> str:
    """0.48 (0.42 to 0.54)."""
    if not math.isfinite(interval.low):
        return f"{interval.value:.2f}"
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def _score(entry: Entry, name: str) -> str:
    return _number(entry.metrics[name])


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else UNKNOWN


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _few(names: pd.Index) -> str:
    return _listed(list(names)) if len(names) <= 3 else f"{len(names)} labels"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
