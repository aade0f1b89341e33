"""One short file per DVC stage: read inputs, call the layers below, write outputs."""

import argparse
import errno
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline import config
from pipeline.errors import UserError


def main(stage: Callable[..., None], argument: str | None = None, project: str = ".") -> None:
    """Run a stage as ``python -m pipeline.stages.<name> [<argument>]``.

    Args:
        project: the folder of the DVC project that it belongs to, where that is not the root.
    """
    name = stage.__name__
    there = "" if project == "." else f"--cd {project} "
    example = f"dvc {there}repro {name}" + (f"@<{argument}>" if argument else "")
    parser = argparse.ArgumentParser(
        prog=f"python -m pipeline.stages.{name}",
        description=sys.modules[stage.__module__].__doc__,
        epilog=f"Usually run by DVC, which also keeps what it writes: {example}",
    )
    if argument:
        parser.add_argument(argument)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("pipeline").setLevel(logging.INFO)
    with in_words():
        stage(config.load(), *vars(parser.parse_args()).values())


@contextmanager
def in_words() -> Iterator[None]:
    """End the process with a sentence and no traceback, where an error is the user's to mend."""
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        what = f" to write {error.filename}" if error.filename else " to write"
        sys.exit(
            f"error: no space left{what}: free some (README, Space) and start again; what is done stays done"
        )
