"""The promotion gate: whether a candidate may replace the champion, decided on the validation set alone."""

from dataclasses import dataclass

import pandas as pd

from pipeline.config.project import Params
from pipeline.data import urls
from pipeline.data.urls import FetchError
from pipeline.evaluation import bootstrap, metrics
from pipeline.serving import isolated, manifest
from pipeline.serving.bundle import Candidate
from pipeline.tracking.registry import Registered


@dataclass(frozen=True)
class Decision:
    passed: bool
    reason: str

    def sentence(self, version: str, champion: Registered | None) -> str:
        """The outcome for the candidate, registered as this version, against the champion before it."""
        if champion is None:
            outcome = "Accepted as the first champion" if self.passed else "Refused, so there is no champion"
        elif champion.version == version:
            outcome = "Still the champion" if self.passed else "Refused, though it is the champion"
        elif self.passed:
            outcome = f"Accepted as champion, replacing version {champion.version}"
        else:
            outcome = f"Refused, version {champion.version} stays champion"
        return f"{outcome}: {self.reason}."


def gate(candidate: Candidate, champion: Registered | None, settings: Params) -> Decision:
    valid = candidate.predicted("valid")
    minimum = settings.champion.min_valid_macro_f1
    if champion is None:
        return decide(valid, minimum, None, False, settings.seed)
    labels = manifest.summary(champion.bundle).labels
    if sorted(labels) != sorted(metrics.label_names(valid)):
        return decide(valid, minimum, None, True, settings.seed)
    present = champion_predictions(champion, candidate.compared)
    return decide(valid, minimum, present, False, settings.seed)


def decide(
    candidate: pd.DataFrame, minimum: float, champion: pd.DataFrame | None, other_labels: bool, seed: int
) -> Decision:
    """
    Args:
        candidate: its predictions on the validation set: clip_id, group, fold, seed, label, predicted.
        champion: the champion's predictions for clips of that set that it was not trained on; None: no champion.
        other_labels: the champion has other labels, so the two cannot be compared.
    """
    score = bootstrap.interval(candidate, "macro_f1", seed).value
    reached = f"validation macro F1 {score:.3f} (minimum {minimum:g})"
    if score < minimum:
        return Decision(False, f"{reached}, see champion.min_valid_macro_f1")
    if other_labels:
        return Decision(True, f"{reached}; not compared, the previous champion has other labels")
    if champion is None:
        return Decision(True, reached)
    same = candidate[candidate["clip_id"].isin(champion["clip_id"])]
    if same["group"].nunique() < 2:
        return Decision(True, f"{reached}; not compared, the previous champion was trained on these clips")
    # under the candidate's folds and seed: the same clips, one answer each
    beside = same.drop(columns="predicted").merge(champion[["clip_id", "predicted"]], on="clip_id")
    (pair,) = bootstrap.compare({"candidate": same, "champion": beside}, seed)
    difference = pair.difference
    amount = f"{difference.value:.3f} ({difference.low:.3f} to {difference.high:.3f}) on {pair.clips} clips"
    if pair.better == "champion" and pair.distinct:
        return Decision(False, f"{reached}; the champion is better by {amount}")
    if pair.distinct:
        return Decision(True, f"{reached}; better than the previous champion by {amount}")
    return Decision(True, f"{reached}; not significantly different from the previous champion: {amount}")


def champion_predictions(champion: Registered, valid: pd.DataFrame) -> pd.DataFrame:
    """clip_id and predicted, for the validation clips that the champion was not trained on.

    Clips are matched by content: ids and parts may have changed since the champion was trained.

    Raises:
        FetchError: a clip at a URL cannot be fetched.
    """
    seen = manifest.seen(champion.bundle)
    valid = valid.loc[~valid["sha256"].isin(seen.loc[seen["part"] == "train", "sha256"])].copy()
    known = seen[seen["part"] == "valid"].drop_duplicates("sha256").set_index("sha256")["predicted"]
    valid["predicted"] = valid["sha256"].map(known)
    missing = valid["predicted"].isna()
    if missing.any():
        songs = [urls.place(path) for path in valid.loc[missing, "path"]]
        found = list(isolated.predict(champion.bundle, champion.code, songs))
        if lost := [one["reason"] for one in found if one.get("temporary")]:
            raise FetchError(lost[0])  # not the champion's fault
        # a clip that it cannot read counts as wrong
        valid.loc[missing, "predicted"] = [one.get("guess", "") for one in found]
    return valid[["clip_id", "predicted"]]
