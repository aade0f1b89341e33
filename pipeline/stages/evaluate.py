"""Score one trained experiment: on validation as often as one likes, on test this once."""

from typing import Any

import pandas as pd

from pipeline import config, paths, tracking
from pipeline.config.experiment import Fusion
from pipeline.config.project import Params
from pipeline.data import clips, split
from pipeline.evaluation import ablation, bootstrap, calibration, metrics
from pipeline.files import read_json, whole, write_json
from pipeline.reports import figures
from pipeline.stages import main
from pipeline.tracking import run_logging
from pipeline.training import splits
from pipeline.training.predict import predictions
from pipeline.training.splits import Splits
from pipeline.training.trials import Spec, specs

CURVES = ("valid_loss", "valid_accuracy", "valid_macro_f1")
FINAL = ("test_loss", "test_accuracy", "test_macro_f1")
"""Few names, for MLflow's tables to stay readable; all stand in evaluation/<key>/scores.json."""
METRICS = (*CURVES, "test_macro_f1", "test_macro_f1_low", "test_macro_f1_high", "test_accuracy", "test_ece")
"""The same for the columns of `dvc metrics show`."""


def evaluate(key: str) -> None:
    settings = config.load()
    tracking.connect(settings.tracking.experiment)  # a server that is down is an error before the work
    models = specs(paths.MODELS / key)
    answers = pd.concat([_answers(key, about) for about in models], ignore_index=True)
    ablated = _ablated(key, models)
    test = metrics.of_part(answers, "test")
    labels = metrics.label_names(answers)
    scores = _scores(answers, settings.seed)
    per_class, confusion = metrics.per_class(test, labels), metrics.confusion(test, labels)
    picture = figures.confusion(confusion, f"{key}: test clips")
    tables = {"per_class": per_class, "confusion": confusion.reset_index()}
    if ablated:
        tables["ablation"] = ablation.table(ablated, settings.seed)

    with whole(paths.EVALUATION / key) as folder:
        folder.mkdir()
        answers.to_parquet(folder / "predictions.parquet", index=False)
        test[["label", "predicted"]].to_csv(folder / "labels.csv", index=False)
        for name, table in tables.items():
            table.to_csv(folder / f"{name}.csv", index=False)
        figures.save(picture, folder / "confusion.png")
        write_json(folder / paths.SCORES, scores)
        logged = paths.MODELS / key / paths.RUN
        with run_logging.opened(settings, key, read_json(logged)["run_id"], None) as run:
            for about in models:
                _record(settings, key, about, answers, run)
            run.log_metrics(
                {name: scores[name] for name in (*FINAL, "test_macro_f1_low", "test_macro_f1_high")}
            )
            if len(models) > 1:
                run.log_metrics({name: scores[name] for name in (*CURVES, "test_macro_f1_sd")})
            run.log_file(folder / "confusion.png")
            run.log_tables({f"{name}.json": table for name, table in tables.items()})
        write_json(folder / "training.json", {"run_id": run.id, **_trained(models)})
    write_json(paths.METRICS / f"{key}.json", {name: scores[name] for name in METRICS})


def _loaded(about: Spec) -> Splits:
    """The data that a model was made for."""
    return splits.load(about.experiment, about.window, clips.computed(), split.read(), about.fold)


def _answers(key: str, about: Spec) -> pd.DataFrame:
    """A trial's predictions, and beside them its temperature, fitted on its valid part."""
    model = paths.MODELS / key / about.trial.name / "model.onnx"
    rows = predictions(model, _loaded(about), about.experiment.training, about.trial)
    return rows.assign(temperature=calibration.temperature(metrics.of_part(rows, "valid")))


def _ablated(key: str, models: list[Spec]) -> dict[str, pd.DataFrame]:
    """Of a fusion: test predictions over all trials, the whole one's and without each branch."""
    if not isinstance(models[0].experiment.model, Fusion):
        return {}
    found = [
        ablation.answers(
            paths.MODELS / key / about.trial.name, _loaded(about), about.experiment.training, about.trial
        )
        for about in models
    ]
    return {name: pd.concat([own[name] for own in found], ignore_index=True) for name in found[0]}


def _scores(answers: pd.DataFrame, seed: int) -> dict[str, float]:
    """Scores over all trials, the test part's with their uncertainty and calibration."""
    test = metrics.of_part(answers, "test")
    scores = {**metrics.mean_scores(answers, "valid"), **metrics.mean_scores(answers, "test")}
    for name in ("macro_f1", "accuracy"):
        interval = bootstrap.interval(test, name, seed)
        scores |= {f"test_{name}_low": interval.low, f"test_{name}_high": interval.high}
    by_trial = bootstrap.by_run(test)
    if len(by_trial) > 1:
        scores["test_macro_f1_mean"] = float(by_trial["macro_f1"].mean())
        scores["test_macro_f1_sd"] = float(by_trial["macro_f1"].std())
    return scores | {
        "test_ece": calibration.ece(test),
        "test_ece_scaled": calibration.ece(calibration.tempered(test)),
        "temperature": float(test.groupby(["fold", "seed"])["temperature"].first().mean()),
    }


def _record(settings: Params, key: str, about: Spec, answers: pd.DataFrame, run: tracking.Run) -> None:
    """A trial's own scores in its run, which is made anew where the store does not know it."""
    trial = about.trial
    own = answers[(answers["fold"] == trial.fold) & (answers["seed"] == trial.seed)]
    scores = {**metrics.mean_scores(own, "valid"), **metrics.mean_scores(own, "test")}
    with run_logging.trial(settings, key, run, trial, about.run_id) as child:
        if child.restored:
            run_logging.restore(child, key, trial, _loaded(about))
        # one step behind the last epoch: what a table of runs shows is the model that was kept
        epochs = len(run_logging.history(key, trial))
        child.log_metrics({name: scores[name] for name in CURVES}, step=epochs)
        child.log_metrics({name: scores[name] for name in FINAL})


def _trained(models: list[Spec]) -> dict[str, Any]:
    """What reports say of the training, from what it left."""
    first = models[0]
    return {
        "description": first.description,
        "device": first.device,
        "precision": first.precision,
        "train_seconds": sum(one.train_seconds for one in models),
        "parameters": first.parameters,
    }


if __name__ == "__main__":
    main(evaluate, "key")
