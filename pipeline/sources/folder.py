"""A person's own music: ``data/music/<label>/**/<clip>``, which ``soundtrack import`` puts there, versioned with DVC."""

import logging
from collections.abc import Mapping
from pathlib import Path

from pipeline.base import paths
from pipeline.config.data import Data
from pipeline.data.groups import other, unknown
from pipeline.sources import Clip, SourceError
from pipeline.sources.importing import tables
from pipeline.sources.importing.files import GROUPS, is_unnameable, shown, visible

log = logging.getLogger(__name__)


def fetch(staging: Path, cache: Path, settings: Data, seed: int) -> list[Clip]:  # noqa: ARG001
    """As :func:`listed`, of ``data/music``; the audio stays where it is."""
    return listed(paths.MUSIC, "run `soundtrack import FOLDER` on a folder of music")


def listed(folder: Path, cure: str) -> list[Clip]:
    """The files of ``folder``: a sub-folder for each label, and optionally a CSV of groups.

    Raises:
        SourceError: there are none; ``cure`` says what to do.
    """
    files = find(folder)
    if not files:
        raise SourceError(f"{folder} holds no <label>/<clip> files: {cure}")
    return clips(folder.as_posix(), files, folder / GROUPS, {})


def clips(folder: str, files: list[Path], table: Path, versions: Mapping[Path, str]) -> list[Clip]:
    """A clip for each file of ``folder``, a path or URL, with the groups of the CSV ``table`` where it is there.

    Args:
        versions: of files at a URL.
    """
    groups, credited = _groups(Path(folder), files, table)
    return [
        Clip(
            path=f"{folder}/{file.as_posix()}",
            label=file.parts[0],
            group=groups.get(file) or unknown(file.parts[0]),
            origin="file of the user's",
            licence="the user's",
            credit=other(credited.get(file, ""), groups.get(file, "")),
            version=versions.get(file, ""),
        )
        for file in files
    ]


def find(folder: Path) -> list[Path]:
    """Files in label folders, relative to ``folder``; links are followed, hidden files are not listed.

    A warning names files that are in no label's folder or have an unusable name, and empty folders.
    """
    seen = visible(folder)
    stray = [file for file in seen if len(file.parts) == 1 and file.name != GROUPS]
    unnameable = [file for file in seen if is_unnameable(file)]
    used = [file for file in seen if len(file.parts) > 1 and not is_unnameable(file)]
    labels = {label.name for label in folder.glob("[!.]*/")}
    for why, names in (
        ("in no label's folder", stray),
        ("the name is not valid UTF-8: rename it", unnameable),
        ("an empty folder", sorted(labels - {file.parts[0] for file in used})),
    ):
        if names:
            log.warning("not used (%s): %s", why, shown(names, len(names)))
    return used


def _groups(folder: Path, files: list[Path], table: Path) -> tuple[dict[Path, str], dict[Path, str]]:
    """Groups and credits. Without a CSV each file is a group; with one, the files of a label that it does not name are one."""
    if not table.exists():
        return {file: file.as_posix() for file in files}, {}
    groups, found = tables.groups(table, folder, files)
    for problem in found.problems:
        log.warning(problem)
    return groups.joined(), groups.names if groups.are_artists else tables.credited(table, found)
