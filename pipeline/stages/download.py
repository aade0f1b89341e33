"""Bring the clips of the data source here, and list its files."""

from dataclasses import asdict

import pandas as pd

from pipeline import paths
from pipeline.config.project import Params
from pipeline.data import sources
from pipeline.files import atomic_write


def download(settings: Params) -> None:
    cache = paths.cache() / "download" / settings.data.source
    cache.mkdir(parents=True, exist_ok=True)
    with atomic_write(paths.downloaded(settings.medium)) as staging:
        staging.mkdir()
        clips = sources.load(settings.data.source)(staging, cache, settings.data, settings.seed)
        table = pd.DataFrame([asdict(clip) for clip in clips]).sort_values("path")
        table.insert(3, "source", settings.data.source)
        table.to_csv(staging / paths.FILES.name, index=False)
