"""Compare all experiments, and choose the model that is delivered: a report as Markdown and HTML, also logged to MLflow."""

from dataclasses import asdict
from functools import partial

from pipeline.base import paths
from pipeline.base.files import read_json, write_json
from pipeline.config.project import BaseParams
from pipeline.data import clips, split
from pipeline.evaluation import bootstrap
from pipeline.reports.chosen import chosen
from pipeline.reports.comparison import comparison
from pipeline.reports.entries import DataSummary, Entry, tested
from pipeline.tracking import links, run_logging, views


def compare(settings: BaseParams) -> str:
    views.publish(settings.tracking.experiment)  # a server that is down is an error before the work
    address = partial(links.run_page, settings.tracking.experiment)
    entries = []
    for key in settings.experiments:
        page = f"{paths.MODEL_REPORTS.name}/{key}.html" if settings.model_pages else None
        entries.append(Entry.read(key, paths.EVALUATION / key, paths.HISTORY / f"{key}.csv", page, address))
    answers = {key: tested(paths.EVALUATION / key) for key in settings.experiments}
    pairs = bootstrap.compare(answers, settings.seed)
    leaks = {key: read_json(paths.LEAK / key / "leak.json") for key in settings.leak}
    rows = split.read()
    data = DataSummary.of(clips.computed(), rows, split.explained(rows, settings.group_name))
    others = {"Data": paths.DATA_REPORT.name} | ({"Model card": paths.CARD_PAGE.name} if settings.model_pages else {})
    choice = chosen(settings, entries)
    write_json(paths.CHOICE, {**asdict(choice), "sentence": choice.sentence})
    comparison(entries, choice, pairs, leaks, data, others, paths.REPORTS)
    about = "All experiments side by side: open comparison.html in the tab Artifacts."
    with run_logging.open_run(settings, "comparison", "comparison", about) as run:
        run.log_folder(paths.REPORTS / "figures", "figures")
        for report in (paths.COMPARISON.with_suffix(".md").name, paths.COMPARISON.name, paths.AUDIT.name):
            run.log_file(paths.REPORTS / report)
    return f"{choice.chosen} is chosen; {paths.COMPARISON}"
