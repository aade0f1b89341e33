"""Decode every clip once, and reject bad ones with a reason."""

import logging
from pathlib import Path

import pandas as pd

from pipeline import paths
from pipeline.config.project import Params
from pipeline.data import audit as auditing
from pipeline.data import clips
from pipeline.files import atomic_write, write_text

log = logging.getLogger("pipeline.stages")


def audit(settings: Params) -> None:
    limits = settings.audit
    downloaded = paths.downloaded(limits.medium)
    files = pd.read_csv(downloaded / paths.FILES, dtype="string", keep_default_na=False)
    table, pairs = auditing.audit(files.assign(clip_id=_names(files["path"], downloaded)), limits)
    report = auditing.summary(table, pairs, limits.medium)
    log.info(report)
    write_text(paths.AUDIT, report)
    auditing.check(table, limits)
    clips.write(table)
    with atomic_write(paths.DUPLICATES) as file:
        pairs.to_csv(file, index=False)


def _names(files: pd.Series, downloaded: Path) -> list[str]:
    """A clip is called as its file, without the folder that all are in."""
    for folder in (downloaded, paths.MUSIC, paths.PICTURES):
        files = files.str.removeprefix(f"{folder.as_posix()}/")
    return list(files)
