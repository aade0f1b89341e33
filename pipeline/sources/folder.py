"""A person's own music: ``data/music/<label>/**/<clip>``, which ``soundtrack import`` puts there, versioned with DVC."""

import errno
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from pipeline.base import paths
from pipeline.base.files import atomic_write
from pipeline.config.data import Data
from pipeline.data.groups import joint_credits, unknown
from pipeline.sources import Clip, SourceError

GROUPS = "groups.csv"
log = logging.getLogger(__name__)


def fetch(staging: Path, cache: Path, settings: Data, seed: int) -> list[Clip]:  # noqa: ARG001
    """As :func:`listed`, of ``data/music``; the audio stays where it is."""
    return listed(paths.MUSIC, "run `soundtrack import FOLDER` on a folder with one sub-folder of audio for each label")


def listed(folder: Path, cure: str) -> list[Clip]:
    """The files of ``folder``: a sub-folder for each label, and optionally a CSV of groups.

    Raises:
        SourceError: there are none; ``cure`` says what to do.
    """
    files = find(folder)
    if not files:
        raise SourceError(f"{folder} holds no <label>/<clip> files: {cure}")
    # without a CSV each file is a group; with one, the files of a label that it does not name are one
    own = {file.as_posix(): file.as_posix() for file in files}
    groups = read_groups(folder / GROUPS) if (folder / GROUPS).exists() else own
    return [
        Clip(
            path=(folder / file).as_posix(),
            label=file.parts[0],
            group=groups.get(file.as_posix()) or groups.get(file.stem) or unknown(file.parts[0]),
            origin="file of the user's",
            licence="the user's",
        )
        for file in files
    ]


def find(folder: Path) -> list[Path]:
    """Files in label folders, relative to ``folder``; links are followed, hidden files are not listed.

    A warning names files that are in no label's folder or have an unusable name, and empty folders.
    """
    found = sorted(_walk(folder))
    seen = [file for file in found if not any(part.startswith(".") for part in file.parts)]
    stray = [file for file in seen if len(file.parts) == 1 and file.name != GROUPS]
    # Python has such bytes of a name as lone surrogates
    unnameable = [file for file in seen if re.search(r"[\ud800-\udfff]", str(file))]
    used = [file for file in seen if len(file.parts) > 1 and file not in unnameable]
    labels = {label.name for label in folder.glob("[!.]*/")}
    for why, names in (
        ("in no label's folder", stray),
        ("the name is not valid UTF-8: rename it", unnameable),
        ("an empty folder", sorted(labels - {file.parts[0] for file in used})),
    ):
        if names:
            log.warning("not used (%s): %s", why, ", ".join(ascii(str(name))[1:-1] for name in names))
    return used


def _walk(folder: Path) -> Iterator[Path]:
    """All files below, also through linked folders; each folder is entered once."""
    entered = set()
    for top, folders, files in os.walk(folder, followlinks=True):
        here = Path(top)
        entered.add(here.resolve())
        folders[:] = [name for name in sorted(folders) if (here / name).resolve() not in entered]
        yield from (here.relative_to(folder) / name for name in files)


def read_groups(file: Path) -> dict[str, str]:
    """Group by path or id; a joint credit is in one group with the artists that it names.

    Args:
        file: a CSV with ``path`` (relative to the label folders) or ``id`` (file name without extension), and
            ``group`` or ``artist``.

    Raises:
        SourceError: it cannot be read, or lacks the columns.
    """
    try:
        table = pd.read_csv(file, dtype="string", keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise SourceError(f"{file} is not readable as CSV: {error}") from None
    keys = [name for name in ("path", "id") if name in table]
    values = [name for name in ("group", "artist") if name in table]
    if not keys or not values:
        raise SourceError(
            f"{file} needs a column `path` (or `id`) and a column `group` (or `artist`), it has {list(table)}"
        )
    named = table[values[0]].str.strip()
    return dict(zip(table[keys[0]], joint_credits(named) if values[0] == "artist" else named, strict=True))


def import_folder(folder: Path, groups: Path | None) -> str:
    """Replace ``data/music`` by the folder's content and ``dvc add`` it; returns a message for the user.

    Raises:
        SourceError: the folder has no label folders, the groups are unusable, or DVC failed.
    """
    if not paths.PARAMS.exists():
        raise SourceError(f"{paths.PARAMS} is not here: run this in the checkout's top folder")
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder")
    if folder.resolve() in (paths.MUSIC.resolve(), *paths.MUSIC.resolve().parents):
        raise SourceError(f"{folder} contains this checkout's own {paths.MUSIC}")
    files = find(folder)
    if not files:
        raise SourceError(f"{folder} has no <label>/<clip> files: it needs one sub-folder of audio per label")
    with atomic_write(paths.MUSIC) as staging:
        failed = [message for file in files if (message := _copy(folder / file, staging / file))]
        if len(failed) == len(files):
            raise SourceError("no file can be copied:\n  " + "\n  ".join(failed))
        if groups is not None:
            _write_groups(groups, staging / GROUPS, files)
        elif (folder / GROUPS).exists() and (message := _copy(folder / GROUPS, staging / GROUPS)):
            raise SourceError(message)
    if subprocess.run([sys.executable, "-m", "dvc", "add", str(paths.MUSIC)], check=False).returncode:
        raise SourceError(f"`dvc add {paths.MUSIC}` failed; its message is above")
    labels = sorted({file.parts[0] for file in files})
    lines = [f"Skipped {len(failed)} files:", *failed] if failed else []
    lines += [
        f"Imported {len(files) - len(failed)} files with {len(labels)} labels ({', '.join(labels)}) as {paths.MUSIC}; "
        f"{paths.MUSIC}.dvc records the version.",
        "Next: set data.source to folder in params.yaml, then run `dvc repro`.",
    ]
    return "\n".join(lines)


def _copy(source: Path, target: Path) -> str:
    """A copy-on-write link, else a copy. No hard link: DVC makes cached files read-only, and so the source.

    Returns:
        Why the file cannot be copied; empty if it was.
    """
    from dvc_objects.fs.system import reflink

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
                raise SourceError(f"the disk is full: {source} cannot be copied") from None
            return f"{source}: {error.strerror}"
    return ""


def _write_groups(groups: Path, target: Path, files: list[Path]) -> None:
    """The given CSV as plain ``path,group``, for the imported files."""
    known = read_groups(groups)
    rows = [(file.as_posix(), known.get(file.as_posix(), known.get(file.stem))) for file in files]
    named = [row for row in rows if row[1] is not None]
    if not named:
        raise SourceError(f"{groups} names none of the files: its column `path` must be like {files[0].as_posix()}")
    pd.DataFrame(named, columns=["path", "group"]).to_csv(target, index=False)
