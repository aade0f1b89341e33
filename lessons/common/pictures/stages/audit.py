"""Decode every picture once, reject bad ones with a reason, and find those that look the same."""

from lessons.common.pictures import paths
from lessons.common.pictures.config import Params
from lessons.common.pictures.inspect import PICTURES
from pipeline.data.audit import run


def audit(settings: Params) -> str:
    return run(settings.audit, [paths.IMAGES, paths.PICTURES], PICTURES)
