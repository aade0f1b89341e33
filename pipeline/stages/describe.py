"""Show the data set as one HTML page: labels, groups, parts, examples to see and play, and rejected clips."""

from pipeline import config
from pipeline.base import paths
from pipeline.config.project import Params
from pipeline.features.store import Store
from pipeline.reports.data_report import data_report, data_set


def describe(settings: Params) -> str:
    stores = {kind: Store(paths.FEATURES / kind) for kind in config.ALIGNED}
    data_report(data_set(settings.group_name), stores, settings.seed, paths.DATA_REPORT)
    return str(paths.DATA_REPORT)
