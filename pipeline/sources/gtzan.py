"""GTZAN: 1000 clips of 30 s in 10 genres (Tzanetakis and Cook 2002), downloaded as mirdata describes it.

A clip's group is its artist, as far as it is known (see :mod:`pipeline.data.gtzan`).
"""

import json
import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock

from pipeline.base import paths
from pipeline.config.data import Data
from pipeline.data import gtzan
from pipeline.data.download import ArchiveError, DownloadError, Remote, digest, download, unpacked
from pipeline.data.groups import other
from pipeline.sources import Clip, SourceError

HUB = "https://huggingface.co/datasets/marsyas/gtzan/resolve/main/data/genres.tar.gz"
"""The archive that mirdata describes; the host that mirdata names is gone."""
LICENCE = "research use; no clear licence (commercial recordings, Tzanetakis and Cook 2002)"
MAX_BYTES = 2_000_000_000
"""The archive has 1.2 GB, its clips 1.3 GB."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Edition:
    """One published form of GTZAN."""

    source: str
    """Its name in params.yaml."""
    archive: Remote
    """Holds ``genres/<genre>/<genre>.NNNNN.wav``, at any depth."""
    index: Remote
    """mirdata's JSON with the md5 of each clip."""


def fetch(staging: Path, cache: Path, settings: Data, seed: int) -> list[Clip]:  # noqa: ARG001 (nothing is random)
    return deliver(edition("gtzan", "1.0", "all", HUB), staging, cache, settings.mirror)


def edition(source: str, version: str, archive: str, *copies: str) -> Edition:
    """By mirdata's keys ``version`` (of its index) and ``archive``; ``copies`` are URLs to try before mirdata's."""
    from mirdata.datasets import gtzan_genre

    audio, index = gtzan_genre.REMOTES[archive], gtzan_genre.INDEXES[version].remote
    return Edition(
        source,
        Remote(audio.filename, (*copies, audio.url), audio.checksum, MAX_BYTES),
        Remote(index.filename, (index.url,), index.checksum, max_bytes=10_000_000),
    )


def deliver(wanted: Edition, staging: Path, cache: Path, mirror: str | None) -> list[Clip]:
    """Download, check and unpack an edition to ``staging/<genre>/<genre>.NNNNN.wav``.

    A warning names clips that are missing or differ from mirdata's index; the audit decides whether a clip is good.

    Args:
        mirror: base URL tried before the public hosts, as ``<mirror>/<file name>``.

    Raises:
        SourceError: no host delivers, or the archive is not usable.
    """
    # experiments that run at the same time share the cache
    with FileLock(cache / "gtzan.lock"):
        try:
            archive = download(_mirrored(wanted.archive, mirror), cache)
            with unpacked(archive, cache, suffix=".wav", max_bytes=wanted.archive.max_bytes) as folder:
                files = _move(folder, staging)
        except DownloadError as error:
            raise SourceError(
                f"data.source {wanted.source}: {error}\n"
                "Without a network, set data.source in params.yaml to one that needs none: starter, or folder\n"
                "(your own music, see `soundtrack import --help`). If you have the archive, put it at\n"
                f"{cache / wanted.archive.name}, or set data.mirror to the URL of the folder that serves it."
            ) from error
        except ArchiveError as error:
            raise SourceError(f"data.source {wanted.source}: {error}") from error
        if not files:
            raise SourceError(f"{archive} has no genres/<genre>/<genre>.NNNNN.wav")
        _compare(files, _mirrored(wanted.index, mirror), cache)
    groups, credited = gtzan.groups(), gtzan.credits()
    return [
        Clip(
            path=(paths.AUDIO / file.relative_to(staging)).as_posix(),
            label=file.parent.name,
            group=groups.get(file.stem, file.stem),
            origin=f"recording (GTZAN {file.stem})",
            licence=LICENCE,
            credit=other(credited.get(file.stem, ""), groups.get(file.stem, "")),
        )
        for file in files
    ]


def _mirrored(remote: Remote, mirror: str | None) -> Remote:
    if mirror is None:
        return remote
    return replace(remote, urls=(f"{mirror.rstrip('/')}/{remote.name}", *remote.urls))


def _move(folder: Path, staging: Path) -> list[Path]:
    files = []
    for file in sorted(folder.glob("**/genres/*/*.wav")):
        target = staging / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(file, target)
        files.append(target)
    return files


def _compare(files: list[Path], index: Remote, cache: Path) -> None:
    try:
        tracks = json.loads(download(index, cache).read_text(encoding="utf-8"))["tracks"]
    except DownloadError as error:
        log.warning("The archive's checksum is right; its clips were not compared one by one. %s", error)
        return
    listed = {clip_id: track["audio"][1] for clip_id, track in tracks.items()}
    found = {file.stem: digest(file, "md5") for file in files}
    odd = {
        "missing": listed.keys() - found.keys(),
        "not listed": found.keys() - listed.keys(),
        "differing": {clip_id for clip_id in listed.keys() & found.keys() if listed[clip_id] != found[clip_id]},
    }
    if any(odd.values()):
        names = "; ".join(f"{what}: {', '.join(sorted(ids))}" for what, ids in odd.items() if ids)
        log.warning("Clips that differ from the %d in %s (all are used): %s", len(listed), index.name, names)
