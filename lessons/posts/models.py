"""Ridge regression, gradient boosting and late fusion behind one function: fit to branches, then say what each branch says."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from lessons.posts.encoder import Branches, dense, stacked
from lessons.posts.settings import Array, Models

Says = Callable[[Branches], Array]
"""(posts, branches), to be added up; (posts, 1) of a model whose branches cannot be told apart."""
NAMES = tuple(Models.model_fields)
SERVED = ("ridge", "net")
"""Those whose answer is a sum over branches; the other one is there to compare."""
MOST_CATEGORIES = 250


def choices(name: str, settings: Models) -> list[float]:
    """Values of the one setting that is chosen on valid."""
    found: dict[str, Sequence[float]] = {
        "ridge": settings.ridge.alphas,
        "boosting": settings.boosting.rates,
        "net": settings.net.epochs,
    }
    return list(found[name])


def fit(
    name: str, names: Sequence[str], inputs: Branches, targets: Array, choice: float, settings: Models, seed: int,
    watch: tuple[Branches, Array] | None = None, on_epoch: Any = None,
) -> tuple[Says, Any]:  # fmt: skip
    """The fitted model, and what :func:`save` keeps of it.

    Args:
        names: of the branches.
        watch: inputs and targets whose error the net's epochs report.
    """
    if name == "ridge":
        return _ridge(inputs, targets, choice)
    if name == "boosting":
        return _boosting(names, inputs, targets, choice, settings, seed), None
    from lessons.posts import fusion  # torch takes seconds

    watch = watch or ([values[:1] for values in inputs], targets[:1])
    more = {"on_epoch": on_epoch} if on_epoch else {}
    net, _ = fusion.train(inputs, targets, watch, settings.net, int(choice), seed, **more)
    return (lambda others: fusion.says(net, others)), net


def _ridge(inputs: Branches, targets: Array, alpha: float) -> tuple[Says, list[Array]]:
    weights = Ridge(alpha=alpha, solver="lsqr", tol=1e-6).fit(stacked(inputs), targets).coef_
    ends = np.cumsum([values.shape[1] for values in inputs])[:-1]
    parts = np.split(weights.astype(np.float32), ends)
    return (lambda others: linear(parts, others)), parts


def linear(parts: Sequence[Array], inputs: Branches) -> Array:
    return np.stack([values @ own for values, own in zip(inputs, parts, strict=True)], axis=1)


def _boosting(names: Sequence[str], inputs: Branches, targets: Array, rate: float, settings: Models, seed: int) -> Says:
    """Trees see the words' largest singular values, and of a post's domain its number."""
    shorter = {}
    frequent: Array = np.empty(0, dtype=int)
    for branch, values in zip(names, inputs, strict=True):
        if branch == "words":
            shorter[branch] = TruncatedSVD(min(settings.boosting.words, values.shape[1] - 1), random_state=seed).fit(
                values
            )
        if branch == "domain":
            frequent = np.argsort(-np.asarray(values.sum(axis=0)).ravel(), kind="stable")[:MOST_CATEGORIES]

    def columns(others: Branches) -> Array:
        found = []
        for branch, values in zip(names, others, strict=True):
            if branch == "domain":
                own = dense(values[:, frequent])
                found.append(np.where(own.any(axis=1), own.argmax(axis=1), np.nan)[:, None])
            else:
                found.append(shorter[branch].transform(values) if branch in shorter else dense(values))
        return np.concatenate(found, axis=1)

    table = columns(inputs)
    before = [values.shape[1] if branch not in shorter else 0 for branch, values in zip(names, inputs, strict=True)]
    widths = [
        1 if branch == "domain" else shorter[branch].n_components if branch in shorter else count
        for branch, count in zip(names, before, strict=True)
    ]
    categories = [int(np.sum(widths[: list(names).index("domain")]))] if "domain" in names else None
    trees = HistGradientBoostingRegressor(
        learning_rate=rate, max_iter=settings.boosting.rounds, max_leaf_nodes=15, min_samples_leaf=40,
        categorical_features=categories, early_stopping=False, random_state=seed,
    )  # fmt: skip
    with threadpool_limits(1):  # threads of stages side by side wait for each other
        trees.fit(table, targets)
    return lambda others: trees.predict(columns(others))[:, None]


def save(name: str, kept: Any, folder: Path) -> None:
    if name == "ridge":
        np.savez(folder / "ridge.npz", *kept)
    elif name == "net":
        from safetensors.torch import save_file

        save_file(kept.state_dict(), folder / "net.safetensors")


def load(name: str, folder: Path, columns: Sequence[int], settings: Models) -> Says:
    """What :func:`save` kept, of one of SERVED.

    Args:
        columns: of each branch.
    """
    if name == "ridge":
        with np.load(folder / "ridge.npz") as kept:
            parts = [kept[key] for key in kept.files]
        return lambda inputs: linear(parts, inputs)
    from safetensors.torch import load_file

    from lessons.posts import fusion

    net = fusion.build(columns, settings.net, 0)
    net.load_state_dict(load_file(folder / "net.safetensors"))
    return lambda inputs: fusion.says(net, inputs)
