"""Score one trained experiment on the validation and test clips."""

import pandas as pd

from pipeline import tracking
from pipeline.base import paths
from pipeline.base.files import atomic_write, read_json, write_json
from pipeline.config.project import BaseParams
from pipeline.data import clips, split
from pipeline.evaluation import ablation, metrics
from pipeline.evaluation.scores import scores
from pipeline.reports import figures
from pipeline.reports.model_page import model_page
from pipeline.tracking import run_logging
from pipeline.training.answers import answers, data_of, without_branches
from pipeline.training.trials import specs, summary

LOGGED = [name for name, metric in metrics.METRICS.items() if metric.logged]
VALID = [f"valid_{name}" for name in LOGGED]
TEST = [f"test_{name}" for name in LOGGED]
INTERVAL = ["test_macro_f1_low", "test_macro_f1_high"]
SHOWN = ["valid_macro_f1", "valid_loss", "test_macro_f1", *INTERVAL, "test_accuracy", "test_ece"]
"""The columns of `dvc metrics show`."""


def evaluate(settings: BaseParams, key: str) -> None:
    tracking.connect(settings.tracking.experiment)  # a server that is down is an error before the work
    trained, models = paths.MODELS / key, specs(paths.MODELS / key)
    table, rows = clips.computed(), split.read()
    predicted = answers(trained, table, rows)
    test, labels = metrics.of_part(predicted, "test"), metrics.label_names(predicted)
    found, confusion = scores(predicted, settings.seed), metrics.confusion(test, labels)
    picture = figures.png(figures.confusion(confusion, f"{key}: test clips"))
    tables = {"per_class": metrics.per_class(test, labels), "confusion": confusion.reset_index()}
    if without := without_branches(trained, table, rows):
        tables["ablation"] = ablation.table(without, settings.seed)

    with atomic_write(paths.EVALUATION / key) as folder:
        folder.mkdir()
        predicted.to_parquet(folder / "predictions.parquet", index=False)
        for name, own in tables.items():
            own.to_csv(folder / f"{name}.csv", index=False)
        (folder / "confusion.png").write_bytes(picture)
        write_json(folder / paths.SCORES, found)
        with run_logging.open_run(settings, key, read_json(trained / paths.RUN)["run_id"]) as run:
            _log_trials(settings, key, run, predicted, table, rows)
            several = [*VALID, "test_macro_f1_sd"] if len(models) > 1 else []
            run.log_metrics({name: found[name] for name in (*TEST, *INTERVAL, *several)})
            run.log_file(folder / "confusion.png")
            run.log_tables({f"{name}.json": own for name, own in tables.items()})
        write_json(folder / "training.json", {"run_id": run.id, **summary(models)})
    write_json(paths.METRICS / f"{key}.json", {name: found[name] for name in SHOWN})
    if settings.model_pages:
        page = paths.MODEL_REPORTS / f"{key}.html"
        model_page(key, predicted, trained, table, rows, paths.FEATURES, picture, page)


def _log_trials(
    settings: BaseParams, key: str, run: tracking.Run, predicted: pd.DataFrame, table: pd.DataFrame, rows: pd.DataFrame
) -> None:
    """Each trial's own scores in its run, which is restored where the store does not know it."""
    for model in specs(paths.MODELS / key):
        own = predicted[(predicted["fold"] == model.fold) & (predicted["seed"] == model.seed)]
        found = {**metrics.mean_scores(own, "valid"), **metrics.mean_scores(own, "test")}
        with run_logging.trial(settings, key, run, model.trial, model.run_id) as child:
            if child.restored:
                run_logging.restore(child, key, model.trial, data_of(model, table, rows))
            # one step behind the last epoch: a table of runs shows the last step, which is then the delivered model
            epochs = len(run_logging.history(key, model.trial))
            child.log_metrics({name: found[name] for name in VALID}, step=epochs)
            child.log_metrics({name: found[name] for name in TEST})
