"""A person's own music: ``data/music/<label>/**/<clip>``, as ``soundtrack import`` leaves it."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from pipeline.base import paths
from pipeline.config.data import Data
from pipeline.data.groups import joint_credits, unknown
from pipeline.sources import Clip, SourceError

GROUPS = "groups.csv"
log = logging.getLogger(__name__)


def fetch(staging: Path, cache: Path, settings: Data, seed: int) -> list[Clip]:  # noqa: ARG001
    """List the files; the audio stays where it is.

    Raises:
        SourceError: there are none.
    """
    return listed(paths.MUSIC, "run `soundtrack import FOLDER` on a folder with one sub-folder of audio for each label")


def listed(folder: Path, cure: str) -> list[Clip]:
    """The files of ``folder``: a sub-folder for each label, and optionally a CSV of groups.

    Raises:
        SourceError: there are none; ``cure`` says what to do.
    """
    files = find(folder)
    if not files:
        raise SourceError(f"{folder} holds no <label>/<clip> files: {cure}")
    groups = read_groups(folder / GROUPS) if (folder / GROUPS).exists() else None
    return [
        Clip(
            path=(folder / file).as_posix(),
            label=file.parts[0],
            group=_group(file, groups),
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
    unnameable = [file for file in seen if not _is_text(file)]
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


def _is_text(file: Path) -> bool:
    try:
        str(file).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def read_groups(file: Path) -> dict[str, str]:
    """Group by path or id; a joint credit is in one group with the artists that it names.

    Args:
        file: a CSV with ``path`` (relative to the label folders) or ``id`` (file name without extension), and
            ``group`` or ``artist``.
    """
    try:
        table = pd.read_csv(file, dtype="string", keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise SourceError(f"{file} is not readable as CSV: {error}") from None
    keys = [name for name in ("path", "id") if name in table]
    values = [name for name in ("group", "artist") if name in table]
    if not keys or not values:
        raise SourceError(
            f"{file} needs a column `path` (or `id`) and a column `group` (or `artist`), it has {list(table)}"
        )
    named = table[values[0]].str.strip()
    if values[0] == "artist":
        named = joint_credits(named)
    return dict(zip(table[keys[0]], named, strict=True))


def _group(file: Path, groups: dict[str, str] | None) -> str:
    """The file's group in the CSV, else one for all unknown ones of its label; without a CSV, the file itself."""
    if groups is None:
        return file.as_posix()
    return groups.get(file.as_posix()) or groups.get(file.stem) or unknown(file.parts[0])
