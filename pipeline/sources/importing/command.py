"""The command: it says what it understood, asks where something looks wrong, and imports."""

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline import config
from pipeline.base import paths
from pipeline.base.text import counted
from pipeline.sources import SourceError
from pipeline.sources.importing import plan as planning
from pipeline.sources.importing.act import act
from pipeline.sources.importing.files import shown
from pipeline.sources.importing.plan import Plan, Wish


def import_music(folder: Path, wish: Wish, cost: Callable[[Sequence[Path]], str], *, yes: bool, dry_run: bool) -> None:
    """Print the plan, and carry it out if it is agreed to.

    At a terminal the user is asked. Elsewhere it goes on, unless something looks wrong and ``yes`` is not given.

    Args:
        cost: says what the features of these files will take.

    Raises:
        SourceError: the folder or a table cannot be used, or the user has to agree first.
    """
    _check(folder, wish)
    plan = planning.make(folder, wish)
    print(plan)
    print(f"\n{cost([folder / file for file in plan.labels])}")
    if _is_uncommitted():
        print(f"The last version is in no git commit. To keep it, commit {paths.MUSIC}.dvc first.")
    if dry_run:
        print("\nNothing was changed (--dry-run).")
        return
    if not yes:
        _agree(plan)
    failed = act(plan)
    if failed:
        print(f"Skipped {counted(len(failed), 'file')}:", *failed, sep="\n")
    labels = sorted(set(plan.labels.values()))
    print(
        f"Imported {counted(len(plan.labels) - len(failed), 'file')} with {counted(len(labels), 'label')} "
        f"({shown(labels, planning.MOST_LABELS)}) as {paths.MUSIC}; {paths.MUSIC}.dvc records the version."
    )
    first = "" if config.load().data.source == "folder" else f"set data.source to folder in {paths.PARAMS}, then "
    print(f"Next: {first}run `dvc repro`.")


def _check(folder: Path, wish: Wish) -> None:
    if not paths.PARAMS.exists():
        raise SourceError(f"{paths.PARAMS} is not here: run this in the checkout's top folder")
    if re.match("[a-z][a-z0-9+.-]+:/", str(folder)):
        raise SourceError(
            f"music at a URL stays where it is: set data.source to url and data.url to the address in {paths.PARAMS}, then `dvc repro`"
        )
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder")
    if folder.resolve() in (paths.MUSIC.resolve(), *paths.MUSIC.resolve().parents):
        raise SourceError(f"{folder} contains this checkout's own {paths.MUSIC}")
    if wish.labels not in (None, "folders", "tags") and not Path(wish.labels).is_file():
        raise SourceError(f"--labels is folders, tags or a table: there is no file {wish.labels}")


def _agree(plan: Plan) -> None:
    if sys.stdin.isatty():
        try:
            agreed = input(f"\nImport {counted(len(plan.labels), 'clip')} as {paths.MUSIC}? [y/N] ")
        except EOFError:
            agreed = ""
        if agreed.strip().lower() not in ("y", "yes"):
            raise SourceError("not imported; nothing was changed")
    elif plan.problems:
        what = counted(len(plan.problems), "thing")
        raise SourceError(f"{what} looked wrong (see above); nothing was changed. --yes imports nevertheless")


def _is_uncommitted() -> bool:
    """Whether the version that is replaced is in no commit."""
    pointer = paths.MUSIC.with_suffix(".dvc")
    if not pointer.exists():
        return False
    try:
        command = ["git", "--no-optional-locks", "status", "--porcelain", "--", str(pointer)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0 and bool(done.stdout.strip())
