"""One neuron, y = m x + b: gradient descent finds m and b from a random start.

The error is the mean squared error (MSE). Over (m, b) it is a bowl; the gradient says which way is up, and the learning
rate how far to step the other way. For a line the bottom of the bowl is known exactly (least squares), so that every
run can be checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pydantic import Field

from lessons.common import lesson
from pipeline.config.base import Positive, Section, Seed
from pipeline.errors import reported
from pipeline.reports.figures import OKABE_ITO, WIDTH, canvas, scale_loss, tidy

Array = np.ndarray[Any, np.dtype[np.float64]]
PositiveFloat = Annotated[float, Field(gt=0)]

LESSON = Path(__file__).stem
LARGEST_X = 2.0


class Batches(Section):
    learning_rate: PositiveFloat
    epochs: Positive
    sizes: Annotated[list[Positive], Field(min_length=1)]


class Params(Section):
    seed: Seed
    slope: float
    intercept: float
    noise: Annotated[float, Field(ge=0)]
    points: Annotated[int, Field(ge=2)]
    epochs: Positive
    diverged: Annotated[float, Field(gt=1)]
    learning_rates: Annotated[dict[str, PositiveFloat], Field(min_length=1)]
    batches: Batches


def mse(m: float, b: float, x: Array, y: Array) -> float:
    return float(np.mean((m * x + b - y) ** 2))


def rmse(m: float, b: float, x: Array, y: Array) -> float:
    """In the unit of y, which the MSE is not."""
    return float(np.sqrt(mse(m, b, x, y)))


def gradient(m: float, b: float, x: Array, y: Array) -> tuple[float, float]:
    """Of the MSE, by m and by b."""
    error = m * x + b - y
    return float(2 * np.mean(error * x)), float(2 * np.mean(error))


@dataclass(frozen=True)
class Descent:
    path: Array
    """(updates + 1, 2): m and b from the start on."""
    history: pd.DataFrame
    """Per epoch: m, b, mse, rmse over all points. Epoch 0 is the start."""
    diverged: bool

    @property
    def end(self) -> tuple[float, float]:
        m, b = self.path[-1]
        return float(m), float(b)


def descend(
    x: Array,
    y: Array,
    start: tuple[float, float],
    learning_rate: float,
    batch_size: int,
    epochs: int,
    diverged: float,
    rng: np.random.Generator,
) -> Descent:
    """Gradient descent on the MSE; with a batch as large as the data every update sees all points.

    Args:
        diverged: stop when the MSE is this many times that of the start.
    """
    m, b = start
    limit = diverged * mse(m, b, x, y)
    path, history = [start], [_row(0, m, b, x, y)]
    for epoch in range(1, epochs + 1):
        order = rng.permutation(len(x))
        for first in range(0, len(x), batch_size):
            batch = order[first : first + batch_size]
            by_m, by_b = gradient(m, b, x[batch], y[batch])
            m, b = m - learning_rate * by_m, b - learning_rate * by_b
            path.append((m, b))
        history.append(_row(epoch, m, b, x, y))
        if not history[-1]["mse"] <= limit:  # also where it is not a number
            return Descent(np.array(path), pd.DataFrame(history), diverged=True)
    return Descent(np.array(path), pd.DataFrame(history), diverged=False)


def _row(epoch: int, m: float, b: float, x: Array, y: Array) -> dict[str, float]:
    return {"epoch": epoch, "m": m, "b": b, "mse": mse(m, b, x, y), "rmse": rmse(m, b, x, y)}


def least_squares(x: Array, y: Array) -> tuple[float, float]:
    """The bottom of the bowl in closed form: m = cov(x, y) / var(x), and a line through the mean point."""
    m = float(np.mean((x - x.mean()) * (y - y.mean())) / x.var())
    return m, float(y.mean() - m * x.mean())


def largest_learning_rate(x: Array) -> float:
    """From here on descent with all points diverges: 2 / the largest curvature of the bowl."""
    curvature = 2 * np.array([[np.mean(x * x), x.mean()], [x.mean(), 1.0]])
    return float(2 / np.linalg.eigvalsh(curvature).max())


def main() -> None:
    params = lesson.params(Params)
    rng = np.random.default_rng(params.seed)
    x = rng.uniform(0, LARGEST_X, params.points)
    y = params.slope * x + params.intercept + rng.normal(0, params.noise, params.points)
    m, b = rng.uniform(-1, 1, 2)
    start, bottom = (float(m), float(b)), least_squares(x, y)

    with lesson.run(LESSON, LESSON) as parent:

        def tracked(name: str, learning_rate: float, batch_size: int, epochs: int) -> Descent:
            found = descend(
                x,
                y,
                start,
                learning_rate,
                batch_size,
                epochs,
                params.diverged,
                np.random.default_rng(params.seed),
            )
            with lesson.run(LESSON, name, parent) as run:
                run.log_params(
                    {
                        "learning_rate": learning_rate,
                        "batch_size": batch_size,
                        "epochs": epochs,
                        "seed": params.seed,
                    }
                )
                run.log_history(found.history.to_dict("records"))
                run.log_metrics({"diverged": found.diverged, "distance": distance(found, bottom)})
            return found

        by_rate = {
            f"{name} ({rate:g})": tracked(
                f"learning rate {rate:g}, {name}", rate, params.points, params.epochs
            )
            for name, rate in params.learning_rates.items()
        }
        batches = params.batches
        by_size = {
            named(size, params.points): tracked(
                f"batch of {size}", batches.learning_rate, size, batches.epochs
            )
            for size in batches.sizes
        }
        metrics = summary(by_rate, by_size, x, y)
        parts = [
            lesson.Part(
                "learning-rates",
                "Learning rates",
                f"All start at m = {start[0]:.3f}, b = {start[1]:.3f} and use all {params.points} points in each update. "
                f"On these points descent diverges from a learning rate of {metrics['largest_learning_rate']:.3f} on, which "
                "is 2 divided by the largest curvature of the bowl.",
                tabled("learning rate", by_rate, bottom),
                draw(by_rate, x, y, bottom),
                "Contours of the mean squared error over m and b with a path for each learning rate, and RMSE by epoch",
                "Left: the bowl from above, and the way of each learning rate; the star is the least-squares line. Right: "
                "the RMSE of the same runs, on a logarithmic axis.",
            ),
            lesson.Part(
                "batches",
                "Batches",
                f"The same descent with a learning rate of {batches.learning_rate:g}, on random parts of the points. An "
                "epoch is one pass over all points, however many updates that makes. (The tutorial calls an update with all "
                "points an epoch, which is right for full batches only.)",
                tabled("points in an update", by_size, bottom),
                draw(by_size, x, y, bottom),
                "Contours of the mean squared error with a path for each batch size, and RMSE by epoch",
                "Small batches make more updates in an epoch and get near the bottom sooner, where they fluctuate; all "
                "points at once descend straight and slowly.",
            ),
        ]
        lesson.publish(
            parent,
            "One neuron",
            findings(by_rate, by_size, bottom, metrics),
            parts,
            metrics,
            Path(f"{LESSON}.png"),
        )


def named(size: int, points: int) -> str:
    if size == 1:
        return "1 (stochastic)"
    return f"{size} (mini-batch)" if size < points else f"{size} (all)"


def distance(found: Descent, bottom: tuple[float, float]) -> float:
    """Of the end from the least-squares line, in (m, b)."""
    return float(np.hypot(found.end[0] - bottom[0], found.end[1] - bottom[1]))


def restless(found: Descent) -> float:
    """The mean RMSE over the last half of the epochs: small batches fluctuate, so the last value is random."""
    return float(found.history["rmse"].iloc[len(found.history) // 2 :].mean())


def summary(
    by_rate: Mapping[str, Descent], by_size: Mapping[str, Descent], x: Array, y: Array
) -> dict[str, float]:
    bottom = least_squares(x, y)
    found = {
        "largest_learning_rate": largest_learning_rate(x),
        "least_squares_m": bottom[0],
        "least_squares_b": bottom[1],
        "least_squares_rmse": rmse(*bottom, x, y),
    }
    for name, descent in {**by_rate, **by_size}.items():
        key = name.replace("(", "").replace(")", "").replace(" ", "_")
        found |= {f"{key}_rmse": rmse(*descent.end, x, y), f"{key}_distance": distance(descent, bottom)}
    return found


def tabled(what: str, descents: Mapping[str, Descent], bottom: tuple[float, float]) -> pd.DataFrame:
    rows = []
    for name, found in descents.items():
        epochs = len(found.history) - 1
        rows.append(
            {
                what: name,
                "what happened": f"diverged, stopped after {epochs} epochs"
                if found.diverged
                else f"{epochs} epochs",
                "updates": len(found.path) - 1,
                "m": found.end[0],
                "b": found.end[1],
                "RMSE": float(found.history["rmse"].iloc[-1]),
                "RMSE, mean of the last half": restless(found),
                "distance from least squares": f"{distance(found, bottom):.1e}",
            }
        )
    return pd.DataFrame(rows)


def findings(
    by_rate: Mapping[str, Descent],
    by_size: Mapping[str, Descent],
    bottom: tuple[float, float],
    metrics: Mapping[str, float],
) -> list[str]:
    sentences = [
        f"Least squares gives m = {bottom[0]:.3f}, b = {bottom[1]:.3f} with an RMSE of {metrics['least_squares_rmse']:.3f}: "
        "no line is nearer to these points."
    ]
    for name, found in by_rate.items():
        epochs = len(found.history) - 1
        sentences.append(
            f"Learning rate {name}: diverged, which was noticed after {epochs} epochs, at m = {found.end[0]:,.0f}."
            if found.diverged
            else f"Learning rate {name}: after {epochs} epochs {distance(found, bottom):.1e} from there."
        )
    wandering = ", ".join(f"{restless(found):.3f} with {name}" for name, found in by_size.items())
    return [*sentences, f"By points in an update, the RMSE over the last half of the epochs is {wandering}."]


def draw(descents: Mapping[str, Descent], x: Array, y: Array, bottom: tuple[float, float]) -> Figure:
    figure = canvas(WIDTH, 4.4)
    bowl, curves = figure.subplots(1, 2)
    start = next(iter(descents.values())).path[0]
    reach = 1.5 * np.abs(start - bottom).max()
    ms, bs = (np.linspace(middle - reach, middle + reach, 80) for middle in bottom)
    heights = [[mse(m, b, x, y) for m in ms] for b in bs]
    bowl.contour(
        ms,
        bs,
        heights,
        levels=np.geomspace(np.min(heights), np.max(heights), 14),
        cmap="Greys_r",
        linewidths=0.7,
    )
    for colour, (name, found) in zip(OKABE_ITO, descents.items(), strict=False):
        outside = np.abs(found.path - bottom).max(axis=1) > reach
        seen = np.argmax(outside) + 1 if outside.any() else len(found.path)
        bowl.plot(*found.path[:seen].T, color=colour, label=name, marker=".", markersize=3, linewidth=1)
        curves.plot(found.history["epoch"], found.history["rmse"], color=colour, label=name)
    bowl.plot(*start, "ko", markersize=6)
    bowl.plot(*bottom, "k*", markersize=12)
    bowl.set(xlim=(ms[0], ms[-1]), ylim=(bs[0], bs[-1]), xlabel="m", ylabel="b")
    curves.axhline(rmse(*bottom, x, y), color="black", linestyle=":", label="least squares")
    curves.set(xlabel="epoch", ylabel="RMSE")
    scale_loss(curves)
    curves.legend(fontsize=9)
    tidy(curves)
    return figure


if __name__ == "__main__":
    with reported():
        main()
