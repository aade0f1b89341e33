"""``python -m lessons.common.pictures.stages <stage> [<key>]``, run in the folder of a lesson."""

from lessons.common.pictures.config import load
from pipeline.stages.command import main

if __name__ == "__main__":
    main("lessons.common.pictures.stages", load)
