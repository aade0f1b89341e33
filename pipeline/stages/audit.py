"""Decode every clip once, and reject bad ones with a reason."""

from pipeline.base import paths
from pipeline.config.project import Params
from pipeline.data.audit import run


def audit(settings: Params) -> str:
    return run(settings.audit, [paths.AUDIO, paths.MUSIC])
