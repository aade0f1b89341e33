"""The stage ``train@<model>``: fit on train, choose one setting on valid, predict all later posts; then without each branch."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.model_selection import GroupKFold

from lessons.common import lesson
from lessons.posts import models
from lessons.posts.encoder import Encoder
from lessons.posts.settings import (
    BRANCHES,
    DESCRIBED,
    ENCODER,
    LESSON,
    MODELS,
    POSTS,
    PREDICTED,
    SPLIT,
    WHOLE,
    Array,
    Params,
)
from pipeline import tracking
from pipeline.base.errors import reported
from pipeline.base.files import atomic_write, read_json, write_json

FOLDS = 5
Branches = list[str]


def log_points(posts: pd.DataFrame) -> Array:
    """A thousand points more are worth less to the one with a thousand."""
    found: Array = np.log1p(posts["points"].to_numpy(dtype=float))
    return found


def train(name: str, params: Params, run: tracking.Run, folder: Path) -> str:
    """Fill the folder: the model, ``predictions.parquet`` and ``model.json``.

    Predictions have a column for all branches, for all but one (``-words``), and for one alone (``+words``, of ridge). Those of training posts are
    out of fold, by models that knew none of the author's posts; they are there for the models that answer.
    """
    posts, split = pd.read_parquet(POSTS), pd.read_parquet(SPLIT)
    inputs = dict(zip(BRANCHES, Encoder(read_json(ENCODER)).transform(pd.read_parquet(DESCRIBED)), strict=True))
    known = (split["part"] == "train").to_numpy()
    valid = ((split["part"] == "valid") & ~split["returning"]).to_numpy()
    branches = [branch for branch, values in inputs.items() if abs(values[known]).sum() > 0]
    targets = log_points(posts)
    targets = targets - targets[known].mean()

    def fit(
        used: Sequence[str], rows: Array, choice: float, on_epoch: Callable[..., None] | None = None
    ) -> tuple[models.Says, object]:
        own = [inputs[branch] for branch in used]
        watch = [values[valid] for values in own], targets[valid]
        return models.fit(
            name,
            used,
            [values[rows] for values in own],
            targets[rows],
            choice,
            params.models,
            params.seed,
            watch,
            on_epoch,
        )

    def predict(says: models.Says, used: Sequence[str], rows: Array) -> Array:
        return says([inputs[branch][rows] for branch in used])

    tried = {}
    for choice in models.choices(name, params.models):
        fitted = fit(branches, known, choice)
        tried[choice] = float(spearmanr(predict(fitted[0], branches, valid).sum(axis=1), targets[valid]).statistic)
        run.log_metrics({"valid_rank_correlation_of_choice": tried[choice]}, step=round(100 * choice))
    choice = max(tried, key=lambda one: tried[one])
    says, kept = fit(branches, known, choice, run.log_epoch)

    combined = {WHOLE: branches} | {f"-{one}": [other for other in branches if other != one] for one in branches}
    if name == "ridge":
        combined |= {f"+{one}": [one] for one in branches}
    found = pd.DataFrame(np.nan, posts.index, list(combined))
    for column, used in combined.items():
        own = says if column == WHOLE else fit(used, known, choice)[0]
        found.loc[~known, column] = predict(own, used, ~known).sum(axis=1)
    folds = list(GroupKFold(FOLDS).split(np.flatnonzero(known), groups=posts["author"][known]))
    for column in {"ridge": [WHOLE, "-time"], "net": [WHOLE]}.get(name, []):
        for seen, unseen in folds:
            rows, others = np.flatnonzero(known)[seen], np.flatnonzero(known)[unseen]
            used = combined[column]
            found.loc[others, column] = predict(fit(used, rows, choice)[0], used, others).sum(axis=1)
    found.to_parquet(folder / PREDICTED)
    models.save(name, kept, folder)
    write_json(
        folder / "model.json",
        {
            "run_id": run.id,
            "branches": branches,
            "choice": choice,
            "valid": tried[choice],
            "mean": predict(says, branches, known).mean(axis=0).tolist(),
        },
    )
    run.log_params({"choice": choice, "branches": ", ".join(branches)})
    run.log_metrics({"valid_rank_correlation": tried[choice]})
    return f"valid rank correlation {tried[choice]:.3f} (chosen: {choice:g})"


def main() -> None:
    params, name = lesson.params(Params), sys.argv[1]
    with lesson.run(LESSON, name) as run, atomic_write(MODELS / name) as folder:
        folder.mkdir()
        run.log_params(
            tracking.flat({"seed": params.seed, "data": params.data.path, **getattr(params.models, name).model_dump()})
        )
        print(f"{name}: {train(name, params, run, folder)}")


if __name__ == "__main__":
    with reported():
        main()
