from typing import TYPE_CHECKING

from pipeline.stages.command import main

if TYPE_CHECKING:
    from pipeline.config.project import Params


def load() -> "Params":
    from pipeline import config  # not needed where a warm process takes the stage

    return config.load()


main("pipeline.stages", load)
