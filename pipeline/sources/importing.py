"""Import a folder of music into the checkout as ``data/music``, versioned with DVC."""

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
from dvc_objects.fs.system import reflink

from pipeline.base import paths
from pipeline.base.errors import UserError
from pipeline.base.files import atomic_write
from pipeline.sources import SourceError
from pipeline.sources.folder import GROUPS, find, read_groups


class ImportFailed(UserError):
    """The folder was not imported; the message says why."""


def import_folder(folder: Path, groups: Path | None) -> str:
    """Replace ``data/music`` by the folder's content and ``dvc add`` it; returns a message for the user.

    Raises:
        ImportFailed: the folder has no label folders, the groups are unusable, or DVC failed.
    """
    if not paths.PARAMS.exists():
        raise ImportFailed(f"{paths.PARAMS} is not here: run this in the checkout's top folder")
    if not folder.is_dir():
        raise ImportFailed(f"{folder} is not a folder")
    if folder.resolve() in (paths.MUSIC.resolve(), *paths.MUSIC.resolve().parents):
        raise ImportFailed(f"{folder} contains this checkout's own {paths.MUSIC}")
    files = find(folder)
    if not files:
        raise ImportFailed(f"{folder} has no <label>/<clip> files: it needs one sub-folder of audio per label")
    with atomic_write(paths.MUSIC) as staging:
        failed = [message for file in files if (message := _copy(folder / file, staging / file))]
        if len(failed) == len(files):
            raise ImportFailed("no file can be copied:\n  " + "\n  ".join(failed))
        if groups is not None:
            _write_groups(groups, staging / GROUPS, files)
        elif (folder / GROUPS).exists() and (message := _copy(folder / GROUPS, staging / GROUPS)):
            raise ImportFailed(message)
    _dvc_add(paths.MUSIC)
    labels = sorted({file.parts[0] for file in files})
    skipped = [f"Skipped {len(failed)} files:", *failed] if failed else []
    return "\n".join(
        [
            *skipped,
            f"Imported {len(files) - len(failed)} files with {len(labels)} labels ({', '.join(labels)}) as {paths.MUSIC}; "
            f"{paths.MUSIC}.dvc records the version.",
            "Next: set data.source to folder in params.yaml, then run `dvc repro`.",
        ]
    )


def _copy(source: Path, target: Path) -> str:
    """A copy-on-write link, else a copy. No hard link: DVC makes cached files read-only, and so the source.

    Returns:
        Why the file cannot be copied; empty if it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.exists() and not source.is_file():
        return f"{source}: not a regular file"
    try:
        reflink(str(source), str(target))
    except OSError:
        target.unlink(missing_ok=True)
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            target.unlink(missing_ok=True)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ImportFailed(f"the disk is full: {source} cannot be copied") from None
            return f"{source}: {error.strerror}"
    return ""


def _write_groups(groups: Path, target: Path, files: list[Path]) -> None:
    """The given CSV as plain ``path,group``, for the imported files."""
    try:
        known = read_groups(groups)
    except (SourceError, OSError) as error:
        raise ImportFailed(str(error)) from None
    rows = [(file.as_posix(), known.get(file.as_posix(), known.get(file.stem))) for file in files]
    named = [row for row in rows if row[1] is not None]
    if not named:
        raise ImportFailed(f"{groups} names none of the files: its column `path` must be like {files[0].as_posix()}")
    pd.DataFrame(named, columns=["path", "group"]).to_csv(target, index=False)


def _dvc_add(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "dvc", "add", str(folder)], check=False)
    if done.returncode != 0:
        raise ImportFailed(f"`dvc add {folder}` failed; its message is above")
