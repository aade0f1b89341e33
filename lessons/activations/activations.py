"""Activation functions: what they look like, why a net needs one, and what each does to the same net.

The functions are the very layers that the package's nets are built of, and their slopes are what training sees.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from pydantic import Field
from torch import Tensor, nn

from lessons.common import lesson
from lessons.common.table import Table
from pipeline import tracking
from pipeline.base.errors import reported
from pipeline.config.base import Positive, Section, Seed
from pipeline.config.models import Activation, Mlp
from pipeline.config.training import Training
from pipeline.models import mlp
from pipeline.models.layers import activate
from pipeline.reports.figures import OKABE_ITO, WIDTH, canvas, curves, tidy
from pipeline.training.dataset import Windows
from pipeline.training.trainer import fit

Array = np.ndarray[Any, np.dtype[Any]]

LESSON = Path(__file__).stem
RANGES: dict[Activation, str] = {
    "linear": "(-∞, ∞)",
    "sigmoid": "(0, 1)",
    "tanh": "(-1, 1)",
    "relu": "[0, ∞)",
    "softmax": "(0, 1), sum 1",
}


FLAT: dict[Activation, str] = {"linear": "nowhere", "relu": "below 0"}
"""Where functions are flat that are not so on both sides."""


class Spirals(Section):
    arms: Annotated[int, Field(ge=2, le=len(OKABE_ITO))]
    points: Positive
    turns: Annotated[float, Field(gt=0)]
    noise: Annotated[float, Field(ge=0)]


class Params(Section):
    seed: Seed
    reach: Annotated[float, Field(gt=0)]
    saturated: Annotated[float, Field(gt=0, lt=1)]
    spirals: Spirals
    model: Mlp
    activations: Annotated[list[Activation], Field(min_length=1)]
    training: Training


def response(name: Activation, x: Tensor) -> Tensor:
    """The function at each x. Softmax needs company: here it is the first of two inputs, x and 0."""
    layer = activate(name)
    if name == "softmax":
        return layer(torch.stack([x, torch.zeros_like(x)], dim=1))[:, 0]
    return layer(x)


def slope(name: Activation, x: Tensor) -> Tensor:
    """The derivative at each x, by autograd: what training multiplies errors with."""
    at = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(response(name, at).sum(), at)
    return found


def flat_from(name: Activation, share: float, reach: float) -> tuple[float, float] | None:
    """The x below and above which the slope is under ``share`` of its maximum; None if it is not so on both sides."""
    x = torch.linspace(-reach, reach, 20_001)
    steep = slope(name, x).abs()
    enough = x[steep >= share * steep.max()]
    low, high = float(enough.min()), float(enough.max())
    return (low, high) if low > -reach and high < reach else None


def merged(first: nn.Linear, second: nn.Linear) -> nn.Linear:
    """One linear layer that does what two do after each other: W = W2 W1, b = W2 b1 + b2."""
    one = nn.Linear(first.in_features, second.out_features)
    with torch.no_grad():
        one.weight.copy_(second.weight @ first.weight)
        one.bias.copy_(second.weight @ first.bias + second.bias)
    return one


def merged_all(net: nn.Module) -> nn.Linear:
    """All linear layers of a net multiplied out, whatever is between them."""
    first, *others = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    for layer in others:
        first = merged(first, layer)
    return first


def spirals(settings: Spirals, rng: np.random.Generator) -> tuple[Array, Array]:
    """(points, 2) on arms that wind around each other, and the arm of each."""
    arm = np.arange(settings.points) % settings.arms
    radius = rng.uniform(0.1, 1, settings.points)
    angle = 2 * np.pi * (arm / settings.arms + settings.turns * radius) + rng.normal(0, settings.noise, settings.points)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32), arm


def trained(
    name: Activation, params: Params, points: Table, train: Windows, valid: Windows, run: tracking.Run
) -> tuple[nn.Module, pd.DataFrame]:
    model = params.model.model_copy(update={"activations": [name] * len(params.model.hidden)})
    torch.manual_seed(params.seed)
    net = mlp.build(model, [points.describe()], params.spirals.arms)
    run.log_params(
        tracking.flat(
            {
                "seed": params.seed,
                "activation": name,
                "model": model.model_dump(),
                "training": params.training.model_dump(),
            }
        )
    )
    with TemporaryDirectory() as folder:
        history = fit(net, train, valid, params.training, params.seed, Path(folder), run.log_epoch)
    return net, history


def distance_to_one_layer(net: nn.Module, points: Array) -> float:
    """How far a net's answers are, at most, from those of its weights multiplied out."""
    scale, flat, layers = net.children()
    with torch.no_grad():
        scaled = flat(scale(torch.from_numpy(points)))
        return float((layers(scaled) - merged_all(layers)(scaled)).abs().max())


def main() -> None:
    params = lesson.params(Params)
    rng = np.random.default_rng(params.seed)
    (known, known_arms), (fresh, fresh_arms) = (spirals(params.spirals, rng) for _ in ("train", "valid"))
    points = Table(known)
    train, valid = Windows([points], known_arms), Windows([Table(fresh)], fresh_arms)

    with lesson.run(LESSON, LESSON) as parent:
        nets: dict[Activation, nn.Module] = {}
        histories = {}
        distances = {}
        for name in params.activations:
            with lesson.run(LESSON, name, parent) as run:
                nets[name], histories[name] = trained(name, params, points, train, valid, run)
                distances[name] = distance_to_one_layer(nets[name], fresh)
                run.log_metrics({"distance_to_one_layer": distances[name]})
        metrics = {
            f"{name}_{column}": float(history[column].iloc[-1])
            for name, history in histories.items()
            for column in ("train_accuracy", "valid_accuracy", "valid_loss")
        }
        metrics |= {f"{name}_distance_to_one_layer": value for name, value in distances.items()}
        lesson.publish(
            parent,
            "Activation functions",
            findings(histories, distances),
            [
                lesson.Part(
                    "regions",
                    "The same net with each function",
                    f"{params.spirals.arms} spiral arms of points, and a net with hidden layers of "
                    f"{' and '.join(map(str, params.model.hidden))}. Nothing differs but the function between the layers; all "
                    "end in a softmax over the arms.",
                    scores(histories, distances),
                    draw_regions(nets, fresh, fresh_arms),
                    "For each function the validation points, and which arm the net takes each place for",
                    "Validation points by arm, on the regions in which each net answers with that arm.",
                ),
                lesson.Part(
                    "functions",
                    "Functions and slopes",
                    "Slopes are what errors are multiplied with on their way back through a layer: where a function is flat, "
                    f"little is learned. Flat means here: less steep than {params.saturated:.0%} of the steepest place. "
                    "Softmax answers for several inputs together; shown is the first of two, x and 0, which is the sigmoid of x.",
                    ranges(params),
                    draw_functions(params.reach),
                    "Each function and its derivative, with the axes through the origin",
                    "Functions (full lines) and their derivatives (dashed).",
                ),
                lesson.Part(
                    "curves",
                    "Training",
                    "Accuracy and loss of the nets above, as MLflow has them too.",
                    pd.concat([history.assign(activation=name).tail(1) for name, history in histories.items()])[
                        ["activation", *next(iter(histories.values())).columns]
                    ],
                    curves({name: history.assign(fold=0, seed=params.seed) for name, history in histories.items()}),
                    "Curves of loss, accuracy and macro F1 by epoch for each function",
                    "How loss and scores move while the nets learn. The loss axes are logarithmic.",
                ),
            ],
            metrics,
            Path(f"{LESSON}.png"),
        )


def findings(histories: Mapping[Activation, pd.DataFrame], distances: Mapping[Activation, float]) -> list[str]:
    ends = {name: float(history["valid_accuracy"].iloc[-1]) for name, history in histories.items()}
    accuracies = ", ".join(f"{value:.2f} with {name}" for name, value in sorted(ends.items(), key=lambda end: -end[1]))
    sentences = [f"The same net ends with a validation accuracy of {accuracies}."]
    if "linear" in distances:
        others = min((value for name, value in distances.items() if name != "linear"), default=float("nan"))
        sentences.append(
            f"Without a function between them the layers are one linear layer: multiplied out, its answers are within "
            f"{distances['linear']:.0e} of the net's. With any other function they are off by {others:.1f} or more."
        )
    return [
        *sentences,
        "The tutorial gives ReLU the range (∞, 0); it is [0, ∞). Sigmoid is the logistic function, and tanh is a sigmoid "
        "made twice as high and twice as steep: 2 sigmoid(2x) - 1. And there are far more than three types.",
    ]


def scores(histories: Mapping[Activation, pd.DataFrame], distances: Mapping[Activation, float]) -> pd.DataFrame:
    rows = [
        {
            "function": name,
            "training accuracy": float(history["train_accuracy"].iloc[-1]),
            "validation accuracy": float(history["valid_accuracy"].iloc[-1]),
            "validation loss": float(history["valid_loss"].iloc[-1]),
            "distance from one linear layer": f"{distances[name]:.1e}",
        }
        for name, history in histories.items()
    ]
    return pd.DataFrame(rows)


def ranges(params: Params) -> pd.DataFrame:
    x = torch.linspace(-params.reach, params.reach, 20_001)
    rows = []
    for name, known in RANGES.items():
        values, flat = response(name, x), flat_from(name, params.saturated, params.reach)
        rows.append(
            {
                "function": name,
                "range": known,
                "least shown": float(values.min()),
                "greatest shown": float(values.max()),
                "steepest slope": float(slope(name, x).max()),
                "flat": f"below {flat[0]:.1f} and above {flat[1]:.1f}" if flat else FLAT[name],
            }
        )
    return pd.DataFrame(rows)


def draw_functions(reach: float) -> Figure:
    figure = canvas(WIDTH, 5.6)
    panels = figure.subplots(2, 3).flatten()
    x = torch.linspace(-reach, reach, 601)
    for axes, name, colour in zip(panels, RANGES, OKABE_ITO, strict=False):
        axes.plot(x, response(name, x).detach(), color=colour, linewidth=2, label=name)
        axes.plot(x, slope(name, x), color=colour, linewidth=1.5, linestyle="--", label="its derivative")
        low, high = (-1.2, 1.2) if name in ("sigmoid", "tanh", "softmax") else (-3, 3)
        axes.set(ylim=(low, high), yticks=[low * 5 / 6, high * 5 / 6] if high < 2 else [-2, 2])
        axes.set_title(name, fontsize=11, loc="left")
        tidy(axes)
        axes.spines[["left", "bottom"]].set_position("zero")
        axes.set_xticks([-reach / 2, reach / 2])
        axes.legend(fontsize=8, loc="lower right", frameon=False)
    panels[-1].set_visible(False)
    return figure


def draw_regions(nets: Mapping[Activation, nn.Module], points: Array, arms: Array) -> Figure:
    figure = canvas(WIDTH, 6.6)
    panels = figure.subplots(2, 3, sharex=True, sharey=True).flatten()
    side = np.linspace(-1.2, 1.2, 200, dtype=np.float32)
    places = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    colours = ListedColormap(OKABE_ITO[: arms.max() + 1])
    for axes, (name, net) in zip(panels, nets.items(), strict=False):
        with torch.no_grad():
            answers = net(torch.from_numpy(places)).argmax(dim=1).numpy().reshape(len(side), -1)
            right = (net(torch.from_numpy(points)).argmax(dim=1).numpy() == arms).mean()
        limits = {"vmin": 0, "vmax": arms.max()}
        axes.imshow(answers, extent=(-1.2, 1.2, -1.2, 1.2), origin="lower", cmap=colours, alpha=0.3, **limits)
        axes.scatter(*points.T, c=arms, cmap=colours, s=7, **limits)
        axes.set_title(f"{name}: {right:.0%} right", fontsize=11, loc="left")
        axes.set(xticks=[], yticks=[])
    for axes in panels[len(nets) :]:
        axes.set_visible(False)
    return figure


if __name__ == "__main__":
    with reported():
        main()
