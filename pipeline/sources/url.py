"""Music at a URL, with a sub-folder for each label: it is read where it is, and only features come here."""

import logging
from pathlib import Path, PurePosixPath

from pipeline.config.data import Data
from pipeline.data import urls
from pipeline.data.suffixes import NOT_AUDIO
from pipeline.sources import Clip, SourceError, folder
from pipeline.sources.importing.files import GROUPS, shown

log = logging.getLogger(__name__)


def fetch(staging: Path, cache: Path, settings: Data, seed: int) -> list[Clip]:  # noqa: ARG001
    """The files of ``data.url``; optionally a CSV of groups is there, as in a folder that was imported.

    Raises:
        SourceError: there are none.
    """
    top = (settings.url or "").rstrip("/")
    versions = urls.listed(top)
    files = [Path(name) for name in sorted(versions) if PurePosixPath(name).suffix.lower() not in NOT_AUDIO]
    if stray := [file for file in files if len(file.parts) == 1]:
        log.warning("not used (in no label's folder): %s", shown(stray))
    files = [file for file in files if len(file.parts) > 1]
    if not files:
        raise SourceError(
            f"{top} (data.url in params.yaml) holds no <label>/<clip> files: it needs a sub-folder for each label"
        )
    table = cache / GROUPS
    table.unlink(missing_ok=True)
    if GROUPS in versions:
        with urls.local(urls.Url(f"{top}/{GROUPS}")) as copy:
            table.write_bytes(copy.read_bytes())
    return folder.clips(top, files, table, {file: versions[file.as_posix()] for file in files})
