"""Errors that a user can cure: one sentence and no traceback."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(Exception):
    """Something a user can put right; the message says what and how."""


@contextmanager
def reported() -> Iterator[None]:
    """End the process with one sentence where an error is the user's to put right."""
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell says that Ctrl+C ended a command
    except MemoryError:
        sys.exit(
            "error: memory ran out: end other programs, or run fewer stages at a time, and run the same command again"
        )
    except FileNotFoundError as error:
        # paths of the data flow are relative, see pipeline.base.paths; pyarrow says nothing but the path
        name = str(error) if error.filename is None else os.fsdecode(error.filename)
        if Path(name).is_absolute() or " " in name:
            raise
        sys.exit(f"error: {name} is not there: `dvc repro` makes it, `dvc checkout` brings it back")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        what = f" to write {error.filename}" if error.filename else ""
        sys.exit(
            f"error: no space left{what}: free some (docs/questions.md) and run the same command again; finished work is saved"
        )
