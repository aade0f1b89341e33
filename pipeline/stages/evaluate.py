"""Score one trained experiment on the validation and test clips."""

import pandas as pd

from pipeline import tracking
from pipeline.base import paths
from pipeline.base.files import atomic_write, read_json, write_json
from pipeline.config.project import BaseParams
from pipeline.data import clips, split
from pipeline.evaluation import metrics
from pipeline.evaluation.scores import ablation, in_words, macro_f1, scores
from pipeline.reports import figures
from pipeline.reports.model_page import model_page
from pipeline.tracking import links, run_logging, score_logging
from pipeline.training.answers import answers, learned, without_branches
from pipeline.training.trials import specs, summary


def evaluate(settings: BaseParams, key: str) -> str:
    tracking.connect(settings.tracking.experiment)  # a server that is down is an error before the work
    trained, models = paths.MODELS / key, specs(paths.MODELS / key)
    table, rows = clips.computed(), split.read()
    predicted = answers(trained, table, rows)
    test, labels = metrics.of_part(predicted, "test"), metrics.label_names(predicted)
    known = learned(trained)
    found, confusion = scores(predicted, known, settings.seed), metrics.confusion(test, labels)
    picture = figures.png(figures.confusion(confusion, f"{key}: test clips"))
    tables = {"per_class": metrics.per_class(test, labels), "confusion": confusion.reset_index()}
    if without := without_branches(trained, table, rows):
        tables["ablation"] = ablation(without, settings.seed)

    with atomic_write(paths.EVALUATION / key) as folder:
        folder.mkdir()
        predicted.to_parquet(folder / "predictions.parquet", index=False)
        for name, own in tables.items():
            own.to_csv(folder / f"{name}.csv", index=False)
        (folder / "confusion.png").write_bytes(picture)
        write_json(folder / paths.SCORES, found)
        if len(history := pd.read_csv(paths.HISTORY / f"{key}.csv")):
            figures.save(figures.curves({key: history}), folder / "curves.png")
        run_id = read_json(trained / paths.RUN)["run_id"]
        with run_logging.open_experiment(settings, key, models[0].experiment, run_id) as run:
            network_ms = score_logging.log_scores(settings, key, run, found, predicted, known, table, rows)
            if settings.model_pages:
                others = {"Comparison": f"../{paths.COMPARISON.name}", "Data": f"../{paths.DATA_REPORT.name}"}
                others["MLflow run"] = links.run_page(settings.tracking.experiment, run.id)
                page = paths.MODEL_REPORTS / f"{key}.html"
                model_page(key, predicted, trained, table, rows, paths.FEATURES, picture, macro_f1(found), others, page)
                run.log_file(page)
            for file in folder.glob("*.png"):
                run.log_file(file)
            run.log_tables({f"{name}.json": own for name, own in tables.items()})
        write_json(folder / "training.json", {"run_id": run.id, "network_ms": network_ms, **summary(models)})
    with atomic_write(paths.CONFUSION / f"{key}.csv") as file:
        test.rename(columns={"label": "actual"})[["actual", "predicted"]].to_csv(file, index=False)
    write_json(paths.METRICS / f"{key}.json", {name: found[name] for name in score_logging.SHOWN})
    return in_words(found, test)
