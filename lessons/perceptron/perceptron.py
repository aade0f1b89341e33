"""The perceptron: one neuron with a step, which learns when a household's income is enough for a loan.

The bank approves from 50,000 on. A neuron says that with a weight of 1 for each income and a bias of minus the
threshold: z = x1 + x2 + x3 - 50,000, and yes where z is at least 0. Here a perceptron finds weights and bias by
itself, from applicants that the bank has answered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from pydantic import Field, model_validator
from sklearn.linear_model import Perceptron as SklearnPerceptron

from lessons.common import lesson
from pipeline.config.base import Fraction, Positive, Section, Seed
from pipeline.errors import reported
from pipeline.reports.figures import OKABE_ITO, WIDTH, canvas, tidy

Array = np.ndarray[Any, np.dtype[Any]]
Row = dict[str, float]

LESSON = Path(__file__).stem
PEOPLE = ("applicant", "father", "spouse")
ONE, THREE, WRONG = "one income", "three incomes", "three incomes, wrong labels"
COLOURS = dict(zip((ONE, THREE, WRONG), OKABE_ITO, strict=False))


class Params(Section):
    seed: Seed
    threshold: Annotated[float, Field(gt=0)]
    largest_income: Annotated[float, Field(gt=0)]
    margin: Annotated[float, Field(ge=0)]
    applicants: Positive
    fresh_applicants: Positive
    wrong_labels: Fraction
    learning_rate: Annotated[float, Field(gt=0)]
    epochs: Positive

    @model_validator(mode="after")
    def _some_are_refused_and_some_approved(self) -> Self:
        if not self.margin < self.threshold < self.largest_income - self.margin:
            raise ValueError("threshold must lie between 0 and largest_income, more than margin from both")
        return self


def step(z: Array) -> Array:
    """1 where z is at least 0, else 0.

    The tutorial says "50,000 and above", and also z > 0, which refuses at exactly 50,000. The words are the bank's
    rule, so the step is at z >= 0.
    """
    return np.asarray(z >= 0).astype(int)


@dataclass(frozen=True)
class Perceptron:
    weights: Array
    """One for each input."""
    bias: float
    """Minus the threshold."""

    def z(self, inputs: Array) -> Array:
        return inputs @ self.weights + self.bias

    def answer(self, inputs: Array) -> Array:
        return step(self.z(inputs))

    def threshold(self) -> float:
        """The household income from which it approves, where all earn the same."""
        return float(-self.bias / self.weights.mean())


def applicants(count: int, people: int, params: Params, rng: np.random.Generator) -> Array:
    """(count, people) incomes; a household's sum keeps the margin from the threshold, its shares are random."""
    room = params.largest_income - 2 * params.margin
    sums = rng.uniform(0, room, count)
    sums[sums > params.threshold - params.margin] += 2 * params.margin
    return sums[:, None] * rng.dirichlet(np.ones(people), count)


def train(
    incomes: Array, labels: Array, unit: float, learning_rate: float, epochs: int, rng: np.random.Generator
) -> tuple[Perceptron, list[Row]]:
    """The perceptron rule: after each mistake, move weights and bias towards the right answer.

    Args:
        unit: incomes are counted in this much money while learning; beside inputs of 50,000 a bias that moves by 1
            at a time would take ages.

    Returns:
        The perceptron, for incomes in money, and the mistakes and implied threshold of each epoch. An epoch
        without a mistake is the last.
    """
    inputs = incomes / unit
    weights, bias = np.zeros(inputs.shape[1]), 0.0
    history: list[Row] = []
    for epoch in range(epochs):
        mistakes = 0
        for place in rng.permutation(len(inputs)):
            error = labels[place] - step(
                inputs[place] @ weights + bias
            )  # 1: refused wrongly; -1: approved wrongly
            weights += learning_rate * error * inputs[place]
            bias += learning_rate * error
            mistakes += abs(int(error))
        learned = Perceptron(weights / unit, bias)
        history.append({"epoch": epoch, "mistakes": mistakes, "threshold": learned.threshold()})
        if mistakes == 0:
            break
    return learned, history


def train_sklearn(incomes: Array, labels: Array, unit: float, params: Params) -> Perceptron:
    """What scikit-learn makes of the same applicants; it refuses where z is exactly 0, which no applicant meets."""
    model = SklearnPerceptron(
        eta0=params.learning_rate, max_iter=params.epochs, tol=None, random_state=params.seed
    ).fit(incomes / unit, labels)
    return Perceptron(model.coef_[0] / unit, float(model.intercept_[0]))


def most_mistakes(incomes: Array, unit: float, rule: Perceptron) -> float:
    """How many mistakes training can make at most, if ``rule`` is always right: (radius / margin)², Novikoff 1962."""
    radius = np.sqrt(((incomes / unit) ** 2).sum(axis=1) + 1).max()
    margin = np.abs(rule.z(incomes)).min() / np.sqrt(((rule.weights * unit) ** 2).sum() + rule.bias**2)
    return float((radius / margin) ** 2)


@dataclass(frozen=True)
class Case:
    """Applicants to learn from, and fresh ones, with the bank's answers."""

    rule: Perceptron
    incomes: Array
    labels: Array
    fresh: Array

    def scores(self, learned: Perceptron) -> Row:
        """On fresh applicants the bank's own answers count, whatever the labels in training were."""
        return {
            "train_accuracy": float((learned.answer(self.incomes) == self.labels).mean()),
            "fresh_accuracy": float((learned.answer(self.fresh) == self.rule.answer(self.fresh)).mean()),
            "implied_threshold": learned.threshold(),
        }


def draw(name: str, params: Params, rng: np.random.Generator) -> Case:
    people = 1 if name == ONE else len(PEOPLE)
    rule = Perceptron(np.ones(people), -params.threshold)
    incomes = applicants(params.applicants, people, params, rng)
    labels = rule.answer(incomes)
    if name == WRONG:
        turned = rng.choice(len(labels), round(params.wrong_labels * len(labels)), replace=False)
        labels[turned] = 1 - labels[turned]
    return Case(rule, incomes, labels, applicants(params.fresh_applicants, people, params, rng))


def main() -> None:
    params = lesson.params(Params)
    unit = params.threshold
    cases, learned, histories, rows = {}, {}, {}, []
    with lesson.run(LESSON, LESSON) as parent:
        for name in (ONE, THREE, WRONG):
            rng = np.random.default_rng(params.seed)
            case = cases[name] = draw(name, params, rng)
            own, history = train(case.incomes, case.labels, unit, params.learning_rate, params.epochs, rng)
            sklearns = train_sklearn(case.incomes, case.labels, unit, params)
            learned[name], histories[name] = own, pd.DataFrame(history)
            for who, perceptron, curve in (("by hand", own, history), ("scikit-learn", sklearns, [])):
                with lesson.run(LESSON, f"{name}, {who}", parent) as run:
                    run.log_params({"case": name, "by": who, **params.model_dump()})
                    run.log_history(curve)
                    run.log_metrics(case.scores(perceptron))
                rows.append(described(name, who, perceptron, case))
        table = pd.DataFrame(rows)
        metrics = summary(cases, learned, histories)
        parts = [
            lesson.Part(
                "decisions",
                "What it learns",
                f"Each perceptron learns from {params.applicants} applicants and is scored on {params.fresh_applicants} "
                "fresh ones, with the bank's own rule. Weights are shown beside their mean: the bank's are 1, 1, 1.",
                table,
                draw_decisions(cases[THREE], learned, histories),
                "Applicants by income with the learned boundary, and mistakes by epoch",
                "Left: the boundary of the bank, and those learned from right and from wrong labels, drawn for a father and a spouse "
                "who earn the same. Right: mistakes in "
                "each epoch; without wrong labels there comes an epoch without any, with them there never does.",
            ),
            lesson.Part(
                "threshold",
                "From weights to money",
                "The bias plays minus the threshold: minus the bias, divided by the weights' mean, is the household income "
                "from which a perceptron approves. Below are the tutorial's own numbers, with weights set by hand.",
                by_hand(),
                draw_thresholds(histories, params.threshold),
                "Threshold that the weights imply, by epoch",
                f"The threshold that weights and bias imply after each epoch. The bank's is {params.threshold:,.0f}.",
            ),
        ]
        lesson.publish(
            parent, "Perceptron", findings(metrics, histories), parts, metrics, Path(f"{LESSON}.png")
        )


def described(name: str, who: str, learned: Perceptron, case: Case) -> dict[str, object]:
    scores = case.scores(learned)
    return {
        "learned from": name,
        "by": who,
        "weights": ", ".join(f"{weight:.2f}" for weight in learned.weights / learned.weights.mean()),
        "implied threshold": round(scores["implied_threshold"]),
        "accuracy in training": scores["train_accuracy"],
        "accuracy on fresh applicants": scores["fresh_accuracy"],
    }


def by_hand() -> pd.DataFrame:
    """The tutorials' examples: the loan at the threshold, and the beach day."""
    loan = Perceptron(np.ones(1), -50_000)
    beach = Perceptron(np.array([5, 2, 4]), -3)
    examples = [
        ("loan, salary 49,999", loan, np.array([49_999])),
        ("loan, salary 50,000", loan, np.array([50_000])),
        ("beach day: no rain, traffic, near the beach", beach, np.array([0, 1, 1])),
    ]
    rows = [(what, int(rule.z(x)), "yes" if rule.answer(x) else "no") for what, rule, x in examples]
    return pd.DataFrame(rows, columns=["example", "z", "answer"])


def summary(
    cases: Mapping[str, Case], learned: Mapping[str, Perceptron], histories: Mapping[str, pd.DataFrame]
) -> Row:
    found: Row = {}
    for name, history in histories.items():
        key = name.replace(", ", "_").replace(" ", "_")
        found |= {f"{key}_{score}": value for score, value in cases[name].scores(learned[name]).items()}
        found[f"{key}_epochs"] = len(history)
        found[f"{key}_mistakes"] = int(history["mistakes"].sum())
        found[f"{key}_last_epoch_mistakes"] = int(history["mistakes"].iloc[-1])
    for name in (ONE, THREE):
        key = name.replace(" ", "_")
        rule = cases[name].rule
        found[f"{key}_most_mistakes"] = most_mistakes(cases[name].incomes, -rule.bias, rule)
    return found


def findings(metrics: Row, histories: Mapping[str, pd.DataFrame]) -> list[str]:
    def learned(name: str) -> str:
        key = name.replace(" ", "_")
        return (
            f"{metrics[f'{key}_epochs']} epochs and {metrics[f'{key}_mistakes']} mistakes "
            f"(the theorem allows {metrics[f'{key}_most_mistakes']:,.0f}), with a threshold of "
            f"{metrics[f'{key}_implied_threshold']:,.0f}"
        )

    wrong = histories[WRONG]["mistakes"]
    return [
        f"From one income the perceptron learns the bank's rule in {learned(ONE)}.",
        f"From three incomes it needs {learned(THREE)}.",
        f"With wrong labels no epoch of {len(wrong)} is without a mistake (the best has {wrong.min()}): the weights never "
        "settle, and their values at the end are random.",
        "At exactly 50,000 the answer here is yes. The tutorial says both: yes in words, no in its formula z > 0.",
    ]


def draw_decisions(
    case: Case, learned: Mapping[str, Perceptron], histories: Mapping[str, pd.DataFrame]
) -> Figure:
    figure = canvas(WIDTH, 4.4)
    left, right = figure.subplots(1, 2)
    own, others = case.incomes[:, 0], case.incomes[:, 1:].sum(axis=1)
    for answer, marker, colour, label in (
        (0, "x", OKABE_ITO[4], "refused"),
        (1, "o", OKABE_ITO[5], "approved"),
    ):
        chosen = case.labels == answer
        left.scatter(own[chosen], others[chosen], s=18, marker=marker, color=colour, label=label, linewidth=1)
    ends = np.array([0.0, 2 * -case.rule.bias])
    for name, rule, style in (
        ("the bank", case.rule, {"color": "black", "linestyle": ":", "linewidth": 2.5}),
        (THREE, learned[THREE], {"color": COLOURS[THREE]}),
        (WRONG, learned[WRONG], {"color": COLOURS[WRONG], "linestyle": "--"}),
    ):
        applicant, *rest = rule.weights
        left.plot(ends, -(rule.bias + applicant * ends) / np.mean(rest), label=name, **style)
    top = 1.05 * case.incomes.sum(axis=1).max()
    left.set(xlim=(0, top), ylim=(0, top), xlabel="applicant's income", ylabel="father's and spouse's income")
    for axis in (left.xaxis, left.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    left.legend(fontsize=9)
    for name, history in histories.items():
        right.plot(history["epoch"] + 1, history["mistakes"], color=COLOURS[name], label=name, marker=".")
    right.set(xlabel="epoch", ylabel="mistakes", ylim=(0, None))
    right.legend(fontsize=9)
    for axes in (left, right):
        tidy(axes)
    return figure


def draw_thresholds(histories: Mapping[str, pd.DataFrame], threshold: float) -> Figure:
    figure = canvas(WIDTH, 3.6)
    axes = figure.subplots()
    axes.axhline(threshold, color="black", linestyle=":", label="the bank")
    for name, history in histories.items():
        axes.plot(history["epoch"] + 1, history["threshold"], color=COLOURS[name], label=name, marker=".")
    axes.set(xlabel="epoch", ylabel="implied threshold")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.legend(fontsize=9)
    tidy(axes)
    return figure


if __name__ == "__main__":
    with reported():
        main()
