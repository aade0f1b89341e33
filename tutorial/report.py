"""The page that compares the tutorial's models, by its own protocol, with this project's, and checks its claims.

Every verdict is computed from the results. Epochs are counted from 0, as everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pipeline.base import paths
from pipeline.base.text import listed
from pipeline.evaluation import metrics
from pipeline.evaluation.bootstrap import Interval, compare, interval
from pipeline.reports import figures
from pipeline.reports.pages import Picture, Table, environment, tabulated

CNN, TRANSFER, MULTIMODAL = "cnn", "transfer", "multimodal"
WAYS = {"tutorial": "the tutorial's protocol and settings", "here": "this project's protocol and settings"}
RISEN = 1.5
"""A loss that ends above this many times its minimum has shot up."""
OVERFITTED = 0.1
"""A model overfits when its training accuracy exceeds its test accuracy by more than this."""
QUARTERS = 4
VERDICTS = ("holds", "holds in part", "does not hold")
INPUTS = (
    "In public copies of the original both branches got the spectrogram, and the wavelet pictures were plots of the waveform; "
    "here each branch has its own input, and the wavelets are real."
)
PROTOCOLS = (
    "“Tutorial”: the first 60 % of each label's clips by name are the training set, the others the test set. The validation "
    "curves are those of the test set. No epoch is chosen by them, since the last one is used; but the same artists are in both "
    "sets. “Here”: the experiment of the same name in params.yaml, whose split is "
)
COLUMNS = (
    "Four columns are about the validation loss. Change: the mean absolute change from one epoch to the next. Rose: the share of "
    "epochs in which the loss went up. Fluctuation: the mean distance of an epoch from the midpoint of its neighbours, which is "
    "near zero where a loss falls smoothly; the verdicts use it. Seconds count training alone; cached embeddings of a frozen "
    "backbone are not computed again. Over folds and seeds, seconds are sums and everything else is a mean."
)


@dataclass(frozen=True)
class Side:
    """A model trained in one of the two ways."""

    test: pd.DataFrame
    """Predictions for the test clips; the tutorial's have ``seen``: whether the training set has clips of the same group."""
    history: pd.DataFrame
    """As in ``history/<key>.csv``."""
    seconds: float

    def score(self, seed: int) -> Interval:
        return interval(self.test, "macro_f1", seed)


@dataclass(frozen=True)
class Course:
    """Statistics of a training's curves; NaN where they are too short."""

    epochs: float
    accuracy: float
    """Training accuracy of the last epoch."""
    change: float
    """Mean absolute change of the validation loss from one epoch to the next."""
    fluctuation: float
    """Of the validation loss: see :func:`pipeline.evaluation.metrics.fluctuation`."""
    score_fluctuation: float
    """The same for macro F1."""
    rose: float
    """Share of the epochs in which the validation loss went up."""
    minimum_at: float
    """Epoch of the lowest validation loss."""
    minimum: float
    last: float
    """Validation loss of the last epoch."""


def course(history: pd.DataFrame) -> Course:
    """Means over folds and seeds; all NaN for a model that was not trained by epochs."""
    rows = [_course(own.reset_index(drop=True)) for _, own in history.groupby(["fold", "seed"])]
    means = np.mean(rows, axis=0) if rows else np.full(len(fields(Course)), np.nan)
    return Course(*means.tolist())


def _course(history: pd.DataFrame) -> tuple[float, ...]:
    loss = history["valid_loss"]
    steps = loss.diff().dropna()
    return (
        len(history),
        history["train_accuracy"].iloc[-1],
        steps.abs().mean(),
        metrics.fluctuation(loss),
        metrics.fluctuation(history["valid_macro_f1"]),
        (steps > 0).mean(),
        history["epoch"][loss.idxmin()],
        loss.min(),
        loss.iloc[-1],
    )


def page(theirs: Mapping[str, Side], ours: Mapping[str, Side], protocol: str, seed: int) -> str:
    """One HTML page that needs nothing from outside.

    Args:
        theirs: by experiment, trained by the tutorial's protocol.
        ours: the same experiments, trained by this project's.
        protocol: how the project's split was made.
    """
    ways = dict(zip(WAYS, (theirs, ours), strict=True))
    sides = {f"{key}, {way}": every[key] for key in theirs for way, every in ways.items()}
    shown = beside({WAYS[way]: {key: side.history for key, side in every.items()} for way, every in ways.items()})
    by_label = {name: labelled(side.test) for name, side in sides.items()}
    parts = [
        (
            {"heading": "Scores, time and fluctuation", "text": f"{PROTOCOLS}{protocol} {COLUMNS}"},
            _summary(sides, seed),
            Picture(
                "curves",
                "Loss and accuracy of all models by epoch, by the tutorial's protocol and by this project's",
                "Dotted: training; solid: validation, which by the tutorial's protocol is the test set.",
                figures.png(shown),
            ),
        ),
        (
            {
                "heading": "F1 by label",
                "text": "The two protocols have different test clips, so compare columns of one protocol only.",
            },
            tabulated(_f1(by_label).reset_index()),
            Picture(
                "labels",
                "F1 of each label and model",
                "F1 of each label (clips: those of the first column).",
                figures.png(figures.per_class_heatmap(by_label)),
            ),
        ),
    ]
    told = findings(theirs, ours, seed)
    found = [*count(told), *told]
    links = {"Comparison of this project's models": paths.COMPARISON.name, "Data": paths.DATA_REPORT.name}
    template = environment().get_template("findings.html.j2")
    return template.render(title="The tutorial, reproduced", findings=found, links=links, parts=parts)


def beside(histories: Mapping[str, Mapping[str, pd.DataFrame]]) -> Figure:
    """Loss and accuracy by epoch of the same models trained in several ways: dotted in training, solid on validation.

    Args:
        histories: by way, a column of panels, and by model; as for :func:`pipeline.reports.figures.curves`.
    """
    figure = figures.canvas(figures.WIDTH, 6.4)
    grid = figure.subplots(2, len(histories), sharex="col", sharey="row", squeeze=False)
    looks = figures.styles({key for every in histories.values() for key in every})
    for column, (way, every) in enumerate(histories.items()):
        for row, name in enumerate(("loss", "accuracy")):
            axes = grid[row, column]
            for key, history in every.items():
                for _, rows in history.groupby(["fold", "seed"]):
                    colour = looks[key]["color"]
                    axes.plot(rows["epoch"], rows[f"train_{name}"], color=colour, linestyle=":", linewidth=1.2)
                    axes.plot(rows["epoch"], rows[f"valid_{name}"], color=colour, linewidth=1.2)
            figures.tidy(axes)
            axes.tick_params(labelleft=True)
        grid[0, column].set_title(figures.plain(way, 3 * figures.LONGEST), fontsize=11, loc="left")
        grid[1, column].set_xlabel("epoch")
        grid[1, column].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    figures.scale_loss(grid[0, 0])
    grid[1, 0].set_ylim(0, 1)
    for row, name in enumerate(("loss", "accuracy")):
        grid[row, 0].set_ylabel(name)
    handles = [Line2D([], [], linewidth=2.5, color=looks[key]["color"], label=figures.plain(key)) for key in looks]
    handles += [
        Line2D([], [], color=figures.GREY, linestyle=":", label="training"),
        Line2D([], [], color=figures.GREY, label="validation"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), frameon=False, fontsize=9)
    return figure


def numbers(theirs: Mapping[str, Side], ours: Mapping[str, Side], seed: int) -> dict[str, float]:
    """What goes into tutorial/metrics.json and MLflow."""
    return {
        f"tutorial_{key}_{name}": value
        for key, side in theirs.items()
        for name, value in {
            "macro_f1": side.score(seed).value,
            "honest_macro_f1": ours[key].score(seed).value,
            "seconds": side.seconds,
            "loss_fluctuation": course(side.history).fluctuation,
        }.items()
    }


def findings(theirs: Mapping[str, Side], ours: Mapping[str, Side], seed: int) -> list[str]:
    """A sentence for each claim that can be checked with these models and labels, then for the leak."""
    courses = {key: course(side.history) for key, side in theirs.items()}
    tests = {key: side.test for key, side in theirs.items()}
    found = []
    if {CNN, TRANSFER, MULTIMODAL} <= set(theirs):
        found += [fluctuates_most(courses), fluctuates_least(courses), gradual(theirs[TRANSFER].history)]
        found += [best(tests, seed), risen(courses)]
        found += [*easiest(tests[CNN]), *raised(tests[CNN], tests[TRANSFER])]
        found += [worst(tests, courses), INPUTS]
    return [*found, leak(tests), honest(theirs, ours, seed)]


def count(found: Sequence[str]) -> list[str]:
    """How many of the claims hold, in a sentence; none where none could be checked."""
    counts = {words: sum(f"” {words}: " in sentence for sentence in found) for words in VERDICTS}
    plural = {words: words.replace("holds", "hold").replace("does", "do") for words in VERDICTS}
    told = [f"{number} {words if number == 1 else plural[words]}" for words, number in counts.items() if number]
    return [f"The tutorial's claims: {listed(told)}."] if told else []


def fluctuates_most(courses: Mapping[str, Course]) -> str:
    most = [max(values, key=values.__getitem__) for values in _fluctuations(courses)]
    loss, score = map(_each, _fluctuations(courses))
    found = f"the fluctuation of the validation loss is {loss}, that of macro F1 {score}"
    return _verdict("The CNN's loss and scores fluctuate most", [key == CNN for key in most], found)


def fluctuates_least(courses: Mapping[str, Course]) -> str:
    least = [min(values, key=values.__getitem__) for values in _fluctuations(courses)]
    found = f"the loss of {least[0]} and the macro F1 of {least[1]} fluctuate least"
    return _verdict("The multimodal model varies least", [key == MULTIMODAL for key in least], found)


def gradual(history: pd.DataFrame) -> str:
    quarters = [float(part.mean()) for part in np.array_split(history["valid_macro_f1"], QUARTERS) if len(part)]
    rises = [len(quarters) == QUARTERS and all(np.diff(quarters) > 0)]
    found = f"its macro F1 in the quarters of the training is {listed([f'{value:.3f}' for value in quarters])}"
    return _verdict("Transfer learning rises gradually", rises, found)


def best(tests: Mapping[str, pd.DataFrame], seed: int) -> str:
    scores = _scores(tests)
    first, second = list(scores)[:2]
    pair = next(pair for pair in compare(tests, seed) if {pair.better, pair.worse} == {first, second})
    claim = "Transfer learning is best of the three, but only by a little"
    little = [first == TRANSFER, first == TRANSFER and not pair.distinct]
    return _verdict(claim, little, f"macro F1 is {_each(scores)}, and {pair.sentence}")


def risen(courses: Mapping[str, Course]) -> str:
    risen = [key for key, own in courses.items() if own.last > RISEN * own.minimum]
    ends = [
        f"{key} has its minimum of {own.minimum:.2f} in epoch {own.minimum_at:.0f} of {own.epochs:.0f} and ends at {own.last:.2f}"
        for key, own in courses.items()
    ]
    claim = "After 30 epochs one validation loss shoots up, the others fall"
    found = f"the loss of {listed(risen) or 'none'} ends above {RISEN} times its minimum; {listed(ends)}"
    return _verdict(claim, [bool(risen), len(risen) == 1], found)


def easiest(test: pd.DataFrame) -> list[str]:
    """Nothing where the data lack one of the labels."""
    f1 = labelled(test).set_index("label")["f1"].sort_values(ascending=False, kind="stable")
    if not {"classical", "rock", "reggae"} <= set(f1.index):
        return []
    top, *low = f1.index[[0, -2, -1]]
    claim = "With the CNN classical has the highest F1, rock and reggae the lowest"
    found = (
        f"{top} has the highest ({f1[top]:.2f}), {listed([f'{label} ({f1[label]:.2f})' for label in low])} the lowest"
    )
    return [_verdict(claim, [top == "classical", set(low) == {"rock", "reggae"}], found)]


def raised(cnn: pd.DataFrame, transfer: pd.DataFrame) -> list[str]:
    """Nothing where the data have none of the labels."""
    before, after = (labelled(test).set_index("label")["f1"] for test in (cnn, transfer))
    gains = {label: after[label] - before[label] for label in ("hiphop", "jazz", "pop") if label in before.index}
    if not gains:
        return []
    found = f"its F1 differs from the CNN's by {_each(gains, '+.2f')}"
    claim = f"Transfer learning raises {listed(list(gains))}"
    return [_verdict(claim, [gain > 0 for gain in gains.values()], found)]


def worst(tests: Mapping[str, pd.DataFrame], courses: Mapping[str, Course]) -> str:
    right = {key: float((test["label"] == test["predicted"]).mean()) for key, test in tests.items()}
    gaps = {key: courses[key].accuracy - right[key] for key in tests}
    shares = [f"{courses[key].accuracy:.0%} and {right[key]:.0%} ({key})" for key in tests]
    widest = max(gaps, key=gaps.__getitem__)
    overfitting = f"{widest} overfits most" if gaps[widest] > OVERFITTED else "none overfits"
    claim = "The multimodal model is the worst, very surprisingly, with 38 % F1"
    found = f"its macro F1 is {_scores(tests)[MULTIMODAL]:.3f}; training and test accuracy are {listed(shares)}, so {overfitting}"
    return _verdict(claim, [list(_scores(tests))[-1] == MULTIMODAL], found)


def leak(tests: Mapping[str, pd.DataFrame]) -> str:
    seen = next(iter(tests.values()))["seen"]
    if seen.all() or not seen.any():
        return f"The leak: {'all' if seen.all() else 'no'} test clips are of groups in the training set."
    shares = []
    for key, test in tests.items():
        right = (test["label"] == test["predicted"]).groupby(test["seen"]).mean()
        shares.append(f"{right[True]:.0%} and {right[False]:.0%} ({key})")
    return (
        f"The leak: {seen.sum()} of {len(seen)} test clips are of groups in the training set; accuracy on these and on the "
        f"others is {listed(shares)}."
    )


def honest(theirs: Mapping[str, Side], ours: Mapping[str, Side], seed: int) -> str:
    both = [
        f"{side.score(seed).value:.3f} and {ours[key].score(seed).value:.3f} ({key})" for key, side in theirs.items()
    ]
    pairs = compare({key: side.test for key, side in ours.items()}, seed)
    found = [f"macro F1 is {listed(both)}", *(f"by this project's, {pair.sentence}" for pair in pairs)]
    return f"By the tutorial's protocol and settings, and by this project's, {'; '.join(found)}."


def labelled(test: pd.DataFrame) -> pd.DataFrame:
    return metrics.per_class(test, metrics.label_names(test))


def _summary(sides: Mapping[str, Side], seed: int) -> Table:
    columns = ["model", "macro F1 on test (95 %)", "training accuracy, last epoch", "seconds", "epochs"]
    columns += ["change", "rose", "fluctuation", "minimum in epoch", "last above minimum"]
    rows = []
    for name, side in sides.items():
        own, score = course(side.history), side.score(seed)
        cells = [
            f"{score.value:.3f} ({score.low:.2f} to {score.high:.2f})",
            _number(own.accuracy, ".3f"),
            _number(side.seconds, ",.0f"),
            _number(own.epochs, ".0f"),
            _number(own.change, ".3f"),
            _number(own.rose, ".0%"),
            _number(own.fluctuation, ".3f"),
            _number(own.minimum_at, ".0f"),
            _number(own.last - own.minimum, ".3f"),
        ]
        rows.append([name, *cells])
    return Table(columns, "l" + "r" * (len(columns) - 1), rows)


def _f1(by_label: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.DataFrame({name: table.set_index("label")["f1"] for name, table in by_label.items()})


def _fluctuations(courses: Mapping[str, Course]) -> tuple[dict[str, float], dict[str, float]]:
    """Those of the validation loss and of macro F1."""
    return (
        {key: own.fluctuation for key, own in courses.items()},
        {key: own.score_fluctuation for key, own in courses.items()},
    )


def _scores(tests: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """Macro F1, the best model first."""
    found = {key: metrics.scores(test, "test")["test_macro_f1"] for key, test in tests.items()}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _verdict(claim: str, parts: Sequence[bool], found: str) -> str:
    """A claim of several parts may hold in some of them."""
    word = VERDICTS[0 if all(parts) else 1 if any(parts) else 2]
    return f"“{claim}” {word}: {found}."


def _each(values: Mapping[str, float], form: str = ".3f") -> str:
    return listed([f"{value:{form}} ({key})" for key, value in values.items()])


def _number(value: float, form: str) -> str:
    return f"{value:{form}}" if np.isfinite(value) else "–"
