"""Score one trained experiment: on validation as often as one likes, on test this once."""

import pandas as pd

from pipeline import params, paths, tracking
from pipeline.data import clips
from pipeline.evaluation import ablation, calibration, figures, metrics, uncertainty
from pipeline.files import read_json, whole, write_json
from pipeline.params import Experiment, Fusion, Params
from pipeline.stages import main, recording
from pipeline.training import parts
from pipeline.training.predict import predictions
from pipeline.training.trials import Trial, trials

CURVES = ("valid_loss", "valid_accuracy", "valid_macro_f1")
FINAL = ("test_loss", "test_accuracy", "test_macro_f1")
"""Few names, for MLflow's tables to stay readable; all stand in evaluation/<key>/scores.json."""
METRICS = (*CURVES, "test_macro_f1", "test_macro_f1_low", "test_macro_f1_high", "test_accuracy", "test_ece")
"""The same for the columns of `dvc metrics show`."""


def evaluate(key: str) -> None:
    settings = params.load()
    tracking.connect(settings.tracking.experiment)  # a server that is down is an error before the work
    experiment = params.experiment(settings, key)
    done = trials(settings)
    answers = pd.concat([_answers(settings, experiment, key, trial) for trial in done], ignore_index=True)
    ablated = _ablated(settings, experiment, key)
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
        with recording.opened(settings, key, read_json(logged)["run_id"], None) as run:
            for trial in done:
                _record(settings, experiment, key, trial, answers, run)
            run.log_metrics(
                {name: scores[name] for name in (*FINAL, "test_macro_f1_low", "test_macro_f1_high")}
            )
            if len(done) > 1:
                run.log_metrics({name: scores[name] for name in (*CURVES, "test_macro_f1_sd")})
            run.log_file(folder / "confusion.png")
            run.log_tables({f"{name}.json": table for name, table in tables.items()})
        write_json(folder / "training.json", {"run_id": run.id, **_size(key, done)})
    write_json(paths.METRICS / f"{key}.json", {name: scores[name] for name in METRICS})


def _answers(settings: Params, experiment: Experiment, key: str, trial: Trial) -> pd.DataFrame:
    """A trial's predictions, and beside them its temperature, fitted on its valid part."""
    data = parts.load(experiment, settings.window, clips.computed(), pd.read_parquet(paths.SPLIT), trial.fold)
    rows = predictions(paths.MODELS / key / trial.name / "model.onnx", data, experiment.training, trial)
    return rows.assign(temperature=calibration.temperature(metrics.of_part(rows, "valid")))


def _ablated(settings: Params, experiment: Experiment, key: str) -> dict[str, pd.DataFrame]:
    """Of a fusion: test predictions over all trials, the whole one's and without each branch."""
    if not isinstance(experiment.model, Fusion):
        return {}
    found = []
    for trial in trials(settings):
        table, split = clips.computed(), pd.read_parquet(paths.SPLIT)
        data = parts.load(experiment, settings.window, table, split, trial.fold)
        found.append(ablation.answers(paths.MODELS / key / trial.name, data, experiment.training, trial))
    return {name: pd.concat([own[name] for own in found], ignore_index=True) for name in found[0]}


def _scores(answers: pd.DataFrame, seed: int) -> dict[str, float]:
    """Scores over all trials, the test part's with their uncertainty and calibration."""
    test = metrics.of_part(answers, "test")
    scores = {**metrics.mean_scores(answers, "valid"), **metrics.mean_scores(answers, "test")}
    for name in ("macro_f1", "accuracy"):
        interval = uncertainty.interval(test, name, seed)
        scores |= {f"test_{name}_low": interval.low, f"test_{name}_high": interval.high}
    by_trial = uncertainty.by_run(test)
    if len(by_trial) > 1:
        scores["test_macro_f1_mean"] = float(by_trial["macro_f1"].mean())
        scores["test_macro_f1_sd"] = float(by_trial["macro_f1"].std())
    return scores | {
        "test_ece": calibration.ece(test),
        "test_ece_scaled": calibration.ece(calibration.tempered(test)),
        "temperature": float(test.groupby(["fold", "seed"])["temperature"].first().mean()),
    }


def _record(
    settings: Params, experiment: Experiment, key: str, trial: Trial, answers: pd.DataFrame, run: tracking.Run
) -> None:
    """A trial's own scores in its run, which is made anew where the store does not know it."""
    spec = read_json(paths.MODELS / key / trial.name / "spec.json")
    own = answers[(answers["fold"] == trial.fold) & (answers["seed"] == trial.seed)]
    scores = {**metrics.mean_scores(own, "valid"), **metrics.mean_scores(own, "test")}
    with recording.trial(settings, key, run, trial, spec["run_id"]) as child:
        if child.restored:
            data = parts.load(
                experiment, settings.window, clips.computed(), pd.read_parquet(paths.SPLIT), trial.fold
            )
            recording.restore(child, key, trial, data, settings, experiment)
        # one step behind the last epoch: what a table of runs shows is the model that was kept
        epochs = len(recording.history(key, trial))
        child.log_metrics({name: scores[name] for name in CURVES}, step=epochs)
        child.log_metrics({name: scores[name] for name in FINAL})


def _size(key: str, done: list[Trial]) -> dict[str, float]:
    specs = [read_json(paths.MODELS / key / trial.name / "spec.json") for trial in done]
    return {
        "train_seconds": sum(spec["train_seconds"] for spec in specs),
        "parameters": specs[0]["parameters"],
    }


if __name__ == "__main__":
    main(evaluate, "key")
