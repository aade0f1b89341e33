"""Overfitting: a model that is large enough fits the noise of few points, and does badly on all others.

First polynomials, whose capacity is their degree, then a small and a large net, and four cures for the large one:
early stopping, weight decay, dropout, more data.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Self

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.polynomial import Legendre
from pydantic import Field, model_validator

from lessons.common import lesson
from lessons.common.regressor import Regressor
from lessons.common.table import Table
from pipeline import tracking
from pipeline.base.errors import reported
from pipeline.config.base import Positive, Section, Seed
from pipeline.config.experiment import inheriting
from pipeline.config.models import Mlp
from pipeline.config.training import Training
from pipeline.models import mlp
from pipeline.reports.figures import GREY, OKABE_ITO, WIDTH, canvas, scale_loss, tidy
from pipeline.training.dataset import Windows
from pipeline.training.trainer import fit

Array = np.ndarray[Any, np.dtype[Any]]
Model = Callable[[Array], Array]
"""From x to the y that it expects."""

LESSON = Path(__file__).stem
PARTS = ("train", "valid", "test")
SHOWN = 0.05, 20.0
"""RMSE that a figure shows: that of the largest polynomial is 0 in training, and thousands beside."""
SMALL, LARGE = "small net", "large net"


class Points(Section):
    train: Positive
    valid: Positive
    test: Positive


class Net(Section):
    points: Positive
    """To train on: the first so many."""
    waves: Positive
    """Of the inputs: see :func:`waves`."""
    model: Mlp
    training: Training


class Params(Section):
    seed: Seed
    points: Points
    noise: Annotated[float, Field(ge=0)]
    degrees: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    training: dict[str, Any]
    experiments: Annotated[dict[str, Net], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _experiments_inherit_training(cls, raw: Any) -> Any:
        return inheriting(raw)

    @model_validator(mode="after")
    def _degrees_are_determined(self) -> Self:
        if max(self.degrees) >= self.points.train:
            raise ValueError(f"degrees: {self.points.train} points determine no degree above {self.points.train - 1}")
        return self


@dataclass(frozen=True)
class Sample:
    x: Array
    y: Array

    def first(self, count: int) -> "Sample":
        return Sample(self.x[:count], self.y[:count])


def truth(x: Array) -> Array:
    return np.sin(2 * np.pi * x)


def sample(count: int, noise: float, rng: np.random.Generator) -> Sample:
    x = rng.uniform(0, 1, count)
    return Sample(x, truth(x) + rng.normal(0, noise, count))


def rmse(model: Model, points: Sample) -> float:
    return float(np.sqrt(np.mean((model(points.x) - points.y) ** 2)))


def polynomial(degree: int, points: Sample) -> Model:
    """Least squares; with a degree of one less than there are points it goes through all of them."""
    return Legendre.fit(points.x, points.y, degree, domain=[0, 1])


def waves(x: Array, most: int) -> Array:
    """(points, 2 most): sines and cosines of 1 to ``most`` half waves, as a net's inputs.

    From x alone a net learns smooth curves first and would need very many epochs to pass through every point.
    """
    angles = np.pi * np.outer(x, np.arange(1, most + 1))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def net(settings: Net, seed: int, points: Sample, valid: Sample, run: tracking.Run) -> tuple[Model, pd.DataFrame]:
    """A net trained with the package's loop, and its history."""
    known, held_out = (Table(waves(part.x, settings.waves)) for part in (points, valid))
    train_on, watch = (Windows([known], points.y.astype(np.float32)), Windows([held_out], valid.y.astype(np.float32)))
    torch.manual_seed(seed)
    module = mlp.build(settings.model, [known.describe()], 1)
    with TemporaryDirectory() as folder:
        learner = Regressor(module, settings.training, seed)
        history = fit(module, train_on, watch, settings.training, seed, Path(folder), run.log_epoch, learner)

    def model(x: Array) -> Array:
        with torch.no_grad():
            return module(torch.from_numpy(waves(x, settings.waves)))[:, 0].numpy()

    return model, history


def main() -> None:
    params = lesson.params(Params)
    rng = np.random.default_rng(params.seed)
    most = max([params.points.train, *(one.points for one in params.experiments.values())])
    valid, test, pool = (sample(count, params.noise, rng) for count in (params.points.valid, params.points.test, most))
    train = pool.first(params.points.train)

    def scores(model: Model, seen: Sample) -> dict[str, float]:
        return {f"{part}_rmse": rmse(model, points) for part, points in zip(PARTS, (seen, valid, test), strict=True)}

    with lesson.run(LESSON, LESSON) as parent:
        polynomials, nets, rows = {}, {}, {}
        for degree in params.degrees:
            polynomials[degree] = polynomial(degree, train)
            rows[f"degree {degree}"] = scores(polynomials[degree], train)
            with lesson.run(LESSON, f"degree {degree}", parent) as run:
                run.log_params({"seed": params.seed, "degree": degree, "points": len(train.x), "noise": params.noise})
                run.log_metrics(rows[f"degree {degree}"])
        for name, settings in params.experiments.items():
            seen = pool.first(settings.points)
            with lesson.run(LESSON, name, parent) as run:
                run.log_params(tracking.flat({"seed": params.seed, "noise": params.noise, **settings.model_dump()}))
                nets[name], history = net(settings, params.seed, seen, valid, run)
                rows[name] = scores(nets[name], seen)
                # one step after the last epoch: scores of the best epoch, without dropout
                run.log_metrics(rows[name], step=len(history))

        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model").reset_index()
        of_polynomials, of_nets = table.iloc[: len(polynomials)], table.iloc[len(polynomials) :]
        lesson.publish(
            parent,
            "Overfitting",
            findings(of_polynomials, of_nets, params),
            [
                lesson.Part(
                    "capacity",
                    "Capacity",
                    f"Polynomials of growing degree, fitted to {len(train.x)} points around one period of a sine. RMSE is in the "
                    f"unit of y; the noise alone has {params.noise:g}, so no model can do better on new points. The degree is "
                    "chosen on valid; the test points are fresh ones.",
                    headed(of_polynomials),
                    draw_capacity(polynomials, of_polynomials.set_index("model"), train),
                    "Fits of three degrees to the points, and RMSE on train and valid by degree",
                    "Left: too little capacity, the best on valid, and too much. Right: the RMSE in training only falls, that "
                    "on valid falls and rises again; both leave the figure.",
                ),
                lesson.Part(
                    "cures",
                    "Networks and cures",
                    "A small network, a large one, and the large one with one change at a time. Early stopping uses the "
                    "epoch that is best on valid; weight decay pulls weights towards zero; dropout switches off units at "
                    "random in training; with more data there is less noise to fit.",
                    headed(of_nets),
                    draw_nets(
                        nets,
                        of_nets.set_index("model"),
                        {k: pool.first(v.points) for k, v in params.experiments.items()},
                    ),
                    "The curve that each network has learned, its points, and the sine they scatter around",
                    "Output of each network (colored), the points it was trained on, and the sine (grey).",
                ),
            ],
            {
                f"{row['model'].replace(' ', '_')}_{part}_rmse": row[f"{part}_rmse"]
                for row in table.to_dict("records")
                for part in PARTS
            },
            Path(f"{LESSON}.png"),
        )


def headed(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns={f"{part}_rmse": f"{part} RMSE" for part in PARTS})


def findings(of_polynomials: pd.DataFrame, of_nets: pd.DataFrame, params: Params) -> list[str]:
    best = of_polynomials.loc[of_polynomials["valid_rmse"].idxmin()]
    last = of_polynomials.iloc[-1]
    found = [
        f"The polynomial of {last['model']} has the lowest RMSE in training, {last['train_rmse']:.3f}, and {last['test_rmse']:,.2f} "
        f"on fresh points: it has fitted the noise. The best on valid, {best['model']}, has {best['train_rmse']:.3f} in training "
        f"and {best['test_rmse']:.3f} on fresh points."
    ]
    nets = of_nets.set_index("model")
    if LARGE in nets.index:
        found.append(
            f"The large network has {nets.loc[LARGE, 'train_rmse']:.3f} in training and {nets.loc[LARGE, 'test_rmse']:.3f} on fresh "
            "points. With a cure, on fresh points: "
            + ", ".join(
                f"{row['test_rmse']:.3f} ({name})"
                for name, row in nets.drop([LARGE, SMALL], errors="ignore").iterrows()
            )
            + f". The noise alone is {params.noise:g}."
        )
    return found


def draw_capacity(polynomials: Mapping[int, Model], scores: pd.DataFrame, train: Sample) -> Figure:
    figure = canvas(WIDTH, 4.4)
    left, right = figure.subplots(1, 2)
    degrees = list(polynomials)
    best = degrees[int(scores["valid_rmse"].to_numpy().argmin())]
    x = np.linspace(0, 1, 400)
    left.plot(x, truth(x), color=GREY, linestyle=":", linewidth=2, label="the truth")
    for colour, degree in zip(
        OKABE_ITO, dict.fromkeys([min(degrees, key=lambda one: abs(one - 1)), best, degrees[-1]]), strict=False
    ):
        left.plot(x, polynomials[degree](x), color=colour, label=f"degree {degree}")
    left.plot(train.x, train.y, "ko", markersize=5)
    left.set(ylim=(-2.2, 2.2), xlabel="x", ylabel="y")
    left.legend(fontsize=9, loc="lower left")
    right.plot(degrees, scores["train_rmse"], color=OKABE_ITO[0], marker="o", label="train")
    right.plot(degrees, scores["valid_rmse"], color=OKABE_ITO[1], marker="s", label="valid")
    right.axvline(best, color=GREY, linestyle="--", linewidth=1, label=f"best on valid: {best}")
    right.set(xlabel="degree of the polynomial", ylabel="RMSE", ylim=SHOWN)
    scale_loss(right)
    right.legend(fontsize=9)
    for axes in (left, right):
        tidy(axes)
    return figure


def draw_nets(nets: Mapping[str, Model], scores: pd.DataFrame, seen: Mapping[str, Sample]) -> Figure:
    columns = 3
    rows = -(-len(nets) // columns)
    figure = canvas(WIDTH, 2.8 * rows)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    x = np.linspace(0, 1, 400)
    for axes, (name, model) in zip(panels, nets.items(), strict=False):
        axes.plot(x, truth(x), color=GREY, linestyle=":", linewidth=2)
        axes.plot(seen[name].x, seen[name].y, "k.", markersize=5 if len(seen[name].x) < 100 else 2)
        axes.plot(x, model(x), color=OKABE_ITO[0] if name in (SMALL, LARGE) else OKABE_ITO[1], linewidth=2)
        axes.set_title(
            f"{name}: {scores.loc[name, 'train_rmse']:.2f} train, {scores.loc[name, 'test_rmse']:.2f} test",
            fontsize=10,
            loc="left",
        )
        axes.set(ylim=(-2.2, 2.2))
        tidy(axes)
    for axes in panels[len(nets) :]:
        axes.set_visible(False)
    return figure


if __name__ == "__main__":
    with reported():
        main()
