"""The stage ``train@<model>``: fit on train, choose one setting on valid, predict all later posts; then without each branch."""

import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from pipeline.training import OnEpoch

FOLDS = 5
OUT_OF_FOLD = {"ridge": [WHOLE, "-time"], "net": [WHOLE]}
"""Of the models that answer, for what a score means; and for the hours."""
Used = Sequence[str]
"""Names of branches."""


def log_points(posts: pd.DataFrame) -> Array:
    """A thousand points more are worth less to the one with a thousand."""
    found: Array = np.log1p(posts["points"].to_numpy(dtype=float))
    return found


class Trainer:
    """One kind of model on these posts."""

    def __init__(self, name: str, params: Params) -> None:
        self.name, self.params = name, params
        posts, split = pd.read_parquet(POSTS), pd.read_parquet(SPLIT)
        inputs = Encoder(read_json(ENCODER)).transform(pd.read_parquet(DESCRIBED))
        self.authors = posts["author"]
        self.known = (split["part"] == "train").to_numpy()
        self.valid = ((split["part"] == "valid") & ~split["returning"]).to_numpy()
        self.inputs = {
            branch: values for branch, values in zip(BRANCHES, inputs, strict=True) if abs(values[self.known]).sum() > 0
        }
        self.branches = list(self.inputs)
        targets = log_points(posts)
        self.targets = targets - targets[self.known].mean()

    def fit(
        self, used: Used, rows: Array, choice: float, on_epoch: OnEpoch | None = None
    ) -> tuple[models.Says, object]:
        own, watch = self._rows(used, rows), (self._rows(used, self.valid), self.targets[self.valid])
        settings, seed = self.params.models, self.params.seed
        return models.fit(self.name, used, own, self.targets[rows], choice, settings, seed, watch, on_epoch)

    def predict(self, says: models.Says, used: Used, rows: Array) -> Array:
        found: Array = says(self._rows(used, rows)).sum(axis=1)
        return found

    def _rows(self, used: Used, rows: Array) -> list[Any]:
        return [self.inputs[branch][rows] for branch in used]

    def correlation(self, says: models.Says) -> float:
        """On valid."""
        predicted = self.predict(says, self.branches, self.valid)
        return float(spearmanr(predicted, self.targets[self.valid]).statistic)

    def out_of_fold(self, used: Used, choice: float) -> Array:
        """Of training posts, by models that knew none of the author's posts."""
        rows = np.flatnonzero(self.known)
        found = np.empty(len(rows))
        for seen, unseen in GroupKFold(FOLDS).split(rows, groups=self.authors.iloc[rows]):
            found[unseen] = self.predict(self.fit(used, rows[seen], choice)[0], used, rows[unseen])
        return found

    def predictions(self, says: models.Says, choice: float) -> pd.DataFrame:
        """A column for all branches, for all but one (``-words``), and for one alone (``+words``, of ridge).

        Of training posts, the columns that are needed are there, out of fold.
        """
        used = {WHOLE: self.branches}
        used |= {f"-{one}": [other for other in self.branches if other != one] for one in self.branches}
        if self.name == "ridge":
            used |= {f"+{one}": [one] for one in self.branches}
        found = pd.DataFrame(np.nan, self.authors.index, list(used))
        for column, own in used.items():
            fitted = says if column == WHOLE else self.fit(own, self.known, choice)[0]
            found.loc[~self.known, column] = self.predict(fitted, own, ~self.known)
        for column in OUT_OF_FOLD.get(self.name, []):
            found.loc[self.known, column] = self.out_of_fold(used[column], choice)
        return found


def train(name: str, params: Params, run: tracking.Run, folder: Path) -> str:
    """Fill the folder: the model, ``predictions.parquet`` and ``model.json``."""
    trainer = Trainer(name, params)
    fitted, epochs = {}, defaultdict[float, list[dict[str, float]]](list)
    for choice in models.choices(name, params.models):

        def keep(epoch: int, row: dict[str, float], choice: float = choice) -> None:
            epochs[choice].append({"epoch": epoch, **row})

        fitted[choice] = trainer.fit(trainer.branches, trainer.known, choice, keep)
    valid = {choice: trainer.correlation(says) for choice, (says, _) in fitted.items()}
    choice = max(valid, key=lambda one: valid[one])
    says, kept = fitted[choice]
    trainer.predictions(says, choice).to_parquet(folder / PREDICTED)
    models.save(name, kept, folder)
    mean = says([values[trainer.known] for values in trainer.inputs.values()]).mean(axis=0).tolist()
    about = {"branches": trainer.branches, "choice": choice, "valid": valid[choice], "mean": mean}
    write_json(folder / "model.json", {"run_id": run.id, **about})
    run.log_params({"choice": choice, "branches": ", ".join(trainer.branches)})
    run.log_params({f"valid_rank_correlation_with.{one:g}": f"{value:.3f}" for one, value in valid.items()})
    run.log_history(epochs[choice])
    run.log_metrics({"valid_rank_correlation": valid[choice]}, step=len(epochs[choice]))
    return f"valid rank correlation {valid[choice]:.3f} (chosen: {choice:g})"


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
