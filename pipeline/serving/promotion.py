"""Whether a candidate may take the champion's place: judged on validation alone, with numbers in the answer."""

from dataclasses import dataclass

import pandas as pd

from pipeline.evaluation import bootstrap


@dataclass(frozen=True)
class Decision:
    passed: bool
    reason: str


def decide(
    candidate: pd.DataFrame, floor: float, present: pd.DataFrame | None, other_labels: bool, seed: int
) -> Decision:
    """
    Args:
        candidate: its answers for the validation part: clip_id, group, fold, seed, label, predicted.
        present: the champion's answers for clips of that part that it was not trained on; None: there is no champion.
        other_labels: the champion knows other labels, so that nothing compares the two.
    """
    score = bootstrap.interval(candidate, "macro_f1", seed).value
    reached = f"validation macro F1 {score:.3f} (minimum {floor:g})"
    if score < floor:
        return Decision(False, f"{reached}, see champion.min_valid_macro_f1")
    if other_labels:
        return Decision(True, f"{reached}; the champion so far knows other labels")
    if present is None:
        return Decision(True, reached)
    same = candidate[candidate["clip_id"].isin(present["clip_id"])]
    if same["group"].nunique() < 2:
        return Decision(
            True, f"{reached}; the champion so far was trained on these clips, so the two are not compared"
        )
    (pair,) = bootstrap.compare({"candidate": same, "champion": _as_run(present, same)}, seed)
    difference = pair.difference
    told = f"{difference.value:.3f} ({difference.low:.3f} to {difference.high:.3f}) on {pair.clips} clips"
    if pair.better == "champion" and pair.distinct:
        return Decision(False, f"{reached}; the champion is better by {told}")
    if pair.distinct:
        return Decision(True, f"{reached}; better than the champion so far by {told}")
    return Decision(True, f"{reached}; not significantly different from the champion so far: {told}")


def _as_run(present: pd.DataFrame, candidate: pd.DataFrame) -> pd.DataFrame:
    """The champion's answers under the candidate's fold and seed: the same clips, one run each."""
    columns = candidate[["clip_id", "group", "label", "fold", "seed"]]
    return columns.merge(present[["clip_id", "predicted"]], on="clip_id")
