"""``python -m pipeline.stages <stage> [<key>]``."""

from pipeline.config.load import load
from pipeline.stages.command import main

if __name__ == "__main__":
    main("pipeline.stages", load)
