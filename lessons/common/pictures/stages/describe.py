"""Write the page on the data set: labels, groups, parts, examples, and rejected pictures."""

from lessons.common.pictures.config import Params
from lessons.common.pictures.report import picture_report
from pipeline.base import paths
from pipeline.features.store import Store
from pipeline.reports.data_report import data_set


def describe(settings: Params) -> str:
    store = Store(paths.FEATURES / "image")
    picture_report(data_set(settings.group_name), store, settings.seed, paths.DATA_REPORT)
    return str(paths.DATA_REPORT)
