"""``python -m tutorial.stages <stage> [<key>]``, run in the checkout's top folder."""

from pipeline.stages.command import main
from tutorial.config import load

if __name__ == "__main__":
    main("tutorial.stages", load, "tutorial")
