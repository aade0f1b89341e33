"""Decode every clip once, and reject bad ones with a reason."""

from pipeline import paths
from pipeline.config.project import Params
from pipeline.data.audit import run
from pipeline.stages import main


def audit(settings: Params) -> None:
    run(settings.audit, [paths.AUDIO, paths.MUSIC])


if __name__ == "__main__":
    main(audit)
