"""What an import changes against ``data/music`` as it is, by the content of the files."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from pipeline.base import paths
from pipeline.base.parallel import cores
from pipeline.sources.importing.files import visible

Content = Counter[tuple[str, str]]
"""How often each digest has each label."""


@dataclass(frozen=True)
class Changes:
    added: int
    relabelled: int
    removed: int
    same: int

    def __str__(self) -> str:
        return f"{self.added} added, {self.relabelled} relabelled, {self.removed} removed, {self.same} unchanged"


def against_last(labels: Mapping[Path, str]) -> str:
    """A sentence for the user; ``labels`` are by file."""
    if not paths.MUSIC.is_dir():
        if paths.MUSIC.with_suffix(".dvc").exists():
            return f"Not compared with the last version, which is not here (`dvc checkout {paths.MUSIC}.dvc`)."
        return "This is the first version."
    clips = [file for file in visible(paths.MUSIC) if len(file.parts) > 1 and (paths.MUSIC / file).is_file()]
    last = {paths.MUSIC / file: file.parts[0] for file in clips}
    return f"Against the last version: {compared(content(last), content(labels))}."


def compared(last: Content, new: Content) -> Changes:
    same = last & new
    gone, came = _by_digest(last - same), _by_digest(new - same)
    relabelled = (gone & came).total()
    return Changes(came.total() - relabelled, relabelled, gone.total() - relabelled, same.total())


def content(labels: Mapping[Path, str]) -> Content:
    files = list(labels)
    with ThreadPoolExecutor(cores()) as pool:
        digests = tqdm(pool.map(_md5, files), "compare", len(files), unit="file", disable=None, leave=False)
        return Counter(zip(digests, labels.values(), strict=True))


def _by_digest(counts: Content) -> Counter[str]:
    found: Counter[str] = Counter()
    for (digest, _), count in counts.items():
        found[digest] += count
    return found


def _md5(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()
