"""Register the best model by validation, and make it the champion if it passes the gate."""

import time
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import paths, tracking
from pipeline.config.project import Params
from pipeline.data import clips, split
from pipeline.evaluation import bootstrap, metrics
from pipeline.files import atomic_write, read_json
from pipeline.serving import bundle, isolated, model_card, ood_evaluation, promotion, selective
from pipeline.serving.bundle import Trained
from pipeline.serving.manifest import FAMILIAR, About
from pipeline.serving.model_card import Card
from pipeline.serving.ood import Familiarity
from pipeline.serving.predictor import Classifier
from pipeline.serving.promotion import Decision
from pipeline.tracking import registry
from pipeline.training.trials import Trial, spec

LATENCY_RUNS = 3


def champion(settings: Params) -> None:
    name = settings.champion.name
    tracking.connect(settings.tracking.experiment)  # a server that is down is an error before the work
    trained = _best(settings)
    with atomic_write(paths.CANDIDATE) as folder:
        about = bundle.write(trained, settings, folder)
    dealt = bundle.members(trained.trial.fold)
    present = registry.champion(name)
    decision = _decide(settings, trained, dealt, present)
    clip = dealt[dealt["part"] == "valid"].sort_values("duration_s").iloc[-1]
    latency = _latency(Path(clip["path"]))
    size = sum(file.stat().st_size for file in paths.CANDIDATE.iterdir()) / 1e6
    # its tags stay: they say what it was trained from, and this may be another experiment of DVC's
    with tracking.run(settings.tracking.experiment, trained.key, about.run_id, {}) as run:
        number = registry.register(name, paths.CANDIDATE, run.id, {"experiment": trained.key})
        run.log_metrics({"model_mb": size, "latency_ms": 1000 * latency})
    told = _told(number, present, decision)
    if decision.passed:
        registry.promote(name, number)
    print(f"{name} {number} ({trained.key}): {told}")
    scores = read_json(paths.EVALUATION / trained.key / paths.SCORES)
    parts = bundle.tabular(dealt)
    model = spec(paths.MODELS / trained.key / trained.trial.name)
    rows = split.read()
    known = Familiarity.load(paths.CANDIDATE / FAMILIAR)
    found = Card(
        about=about,
        name=name,
        version=number,
        decision=told,
        description=model.description,
        parameters=model.parameters,
        data=_data(dealt),
        protocol=split.explained(rows),
        scores=scores,
        test=metrics.of_part(trained.answers, "test"),
        distances=known.distances(parts["test"].values),
        rocs={
            "noises": ood_evaluation.noises(
                known, parts["valid"], about, float(clip["duration_s"]), settings.seed
            ),
            "labels": ood_evaluation.labels(parts, settings.champion.familiar),
        },
        limits=_limits(split.leaky(rows), dealt, about),
        size_mb=size,
        latency_ms=1000 * latency,
        latency_of_s=float(clip["duration_s"]),
    )
    model_card.write(found, paths.CARD, paths.DEPTH)
    registry.describe(name, number, paths.CARD.read_text(encoding="utf-8"))


def _best(settings: Params) -> Trained:
    """By validation the best trial of the best experiment."""
    scores = {key: read_json(paths.EVALUATION / key / paths.SCORES) for key in settings.experiments}
    key = min(scores, key=lambda key: metrics.ranked(key, scores[key]))
    answers = pd.read_parquet(paths.EVALUATION / key / "predictions.parquet")
    runs = bootstrap.by_run(metrics.of_part(answers, "valid"))
    best = runs.loc[runs["macro_f1"].idxmax()]
    trial = Trial(int(best["fold"]), int(best["seed"]))
    own = (answers["fold"] == trial.fold) & (answers["seed"] == trial.seed)
    return Trained(key, trial, answers[own])


def _decide(
    settings: Params, trained: Trained, dealt: pd.DataFrame, present: registry.Registered | None
) -> Decision:
    valid = metrics.of_part(trained.answers, "valid")
    floor = settings.champion.min_valid_macro_f1
    if present is None:
        return promotion.decide(valid, floor, None, False, settings.seed)
    labels = read_json(present.package / "about.json")["labels"]
    if sorted(labels) != sorted(metrics.label_names(valid)):
        return promotion.decide(valid, floor, None, True, settings.seed)
    return promotion.decide(valid, floor, _of_present(present, dealt), False, settings.seed)


def _of_present(present: registry.Registered, dealt: pd.DataFrame) -> pd.DataFrame:
    """clip_id and predicted, of the validation clips that the present champion was not trained on."""
    seen = pd.read_parquet(present.package / selective.SEEN)
    valid = dealt.loc[dealt["part"] == "valid", ["clip_id", "path", "sha256"]]
    valid = valid[~valid["sha256"].isin(seen.loc[seen["part"] == "train", "sha256"])]
    answers = seen[seen["part"] == "valid"].drop_duplicates("sha256").set_index("sha256")["predicted"]
    valid["predicted"] = valid["sha256"].map(answers)
    unknown = valid["predicted"].isna()
    if unknown.any():
        with isolated.listening(present.package, present.code) as listen:
            told = listen([Path(path) for path in valid.loc[unknown, "path"]])
            # what it cannot hear it gets wrong
            valid.loc[unknown, "predicted"] = [one.get("label", "") for one in told]
    return valid[["clip_id", "predicted"]]


def _told(number: str, present: registry.Registered | None, decision: Decision) -> str:
    if present is None:
        verdict = "Accepted as the first champion" if decision.passed else "Refused, so there is no champion"
    elif present.version == number:
        verdict = "The champion already" if decision.passed else "Refused, though it is the champion"
    elif decision.passed:
        verdict = f"Accepted as the champion in place of version {present.version}"
    else:
        verdict = f"Refused, version {present.version} stays the champion"
    return f"{verdict}: {decision.reason}."


def _latency(clip: Path) -> float:
    """Seconds for one clip on one thread, the median of some runs."""
    classifier = Classifier(paths.CANDIDATE)
    classifier(clip)
    times = []
    for _ in range(LATENCY_RUNS):
        start = time.perf_counter()
        classifier(clip)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def _data(dealt: pd.DataFrame) -> str:
    train = dealt[dealt["part"] == "train"]
    return (
        f"{len(train)} clips of {train['group'].nunique()} groups, {train['duration_s'].sum() / 60:.0f} minutes, "
        f"source {clips.source(dealt)}"
    )


def _limits(leaky: str | None, dealt: pd.DataFrame, about: About) -> list[str]:
    limits = [
        f"It knows {len(about.labels)} labels and gives one of them to all music that it takes to be of their kind.",
        f"It was trained and judged on clips of {dealt['duration_s'].min():.1f} to {about.longest_s:.1f} s. How well "
        f"the mean over the sections of a atomic_write song does was not measured.",
    ]
    if leaky:
        limits.append(f"Its scores are too optimistic: {leaky}.")
    origins = clips.good(dealt)["origin"].str.split(" ").str[:4].str.join(" ").unique()
    if any(origin.startswith("synth") for origin in origins):
        limits.append("Its clips are synthesised from scores: recordings are out of its depth.")
    return limits
