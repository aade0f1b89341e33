"""Score one trained experiment on the validation and test clips."""

from pipeline import tracking
from pipeline.base import paths
from pipeline.base.files import atomic_write, read_json, write_json
from pipeline.base.text import interval
from pipeline.config.project import BaseParams
from pipeline.data import clips, split
from pipeline.evaluation import metrics
from pipeline.evaluation.scores import ablation, scores
from pipeline.reports import figures
from pipeline.reports.model_page import model_page
from pipeline.tracking import run_logging, score_logging
from pipeline.training.answers import answers, without_branches
from pipeline.training.trials import specs, summary


def evaluate(settings: BaseParams, key: str) -> str:
    tracking.connect(settings.tracking.experiment)  # a server that is down is an error before the work
    trained, models = paths.MODELS / key, specs(paths.MODELS / key)
    table, rows = clips.computed(), split.read()
    predicted = answers(trained, table, rows)
    test, labels = metrics.of_part(predicted, "test"), metrics.label_names(predicted)
    found, confusion = scores(predicted, settings.seed), metrics.confusion(test, labels)
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
        with run_logging.open_run(settings, key, read_json(trained / paths.RUN)["run_id"]) as run:
            score_logging.log_trials(settings, key, run, predicted, table, rows)
            several = [*score_logging.VALID, "test_macro_f1_sd"] if len(models) > 1 else []
            run.log_metrics({name: found[name] for name in (*score_logging.TEST, *score_logging.INTERVAL, *several)})
            run.log_file(folder / "confusion.png")
            run.log_tables({f"{name}.json": own for name, own in tables.items()})
        write_json(folder / "training.json", {"run_id": run.id, **summary(models)})
    with atomic_write(paths.CONFUSION / f"{key}.csv") as file:
        test.rename(columns={"label": "actual"})[["actual", "predicted"]].to_csv(file, index=False)
    write_json(paths.METRICS / f"{key}.json", {name: found[name] for name in score_logging.SHOWN})
    if settings.model_pages:
        page = paths.MODEL_REPORTS / f"{key}.html"
        model_page(key, predicted, trained, table, rows, paths.FEATURES, picture, page)
    ends = interval(*(found[name] for name in score_logging.INTERVAL))
    return f"test macro F1 {found['test_macro_f1']:.3f} ({ends}), validation {found['valid_macro_f1']:.3f}"
