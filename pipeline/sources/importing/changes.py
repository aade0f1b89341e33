"""What an import changes against ``data/music`` as it is, by the content of the files."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av
from tqdm import tqdm

from pipeline.base import paths
from pipeline.base.parallel import cores
from pipeline.base.text import counted
from pipeline.sources import SourceError
from pipeline.sources.importing import tables
from pipeline.sources.importing.files import GROUPS, visible

Labels = Mapping[Path, str]


@dataclass(frozen=True)
class Changes:
    added: int
    relabelled: int
    removed: int
    same: int

    def __str__(self) -> str:
        return f"{self.added} added, {self.relabelled} relabelled, {self.removed} removed, {self.same} unchanged"


def against_last(labels: Labels, groups: Mapping[Path, str]) -> str:
    """A sentence for the user.

    Args:
        labels: by file.
        groups: by place below ``data/music``, of all clips; blank where unknown.
    """
    if not paths.MUSIC.is_dir():
        if paths.MUSIC.with_suffix(".dvc").exists():
            return f"Not compared with the last version, which is not here (`dvc checkout {paths.MUSIC}.dvc`)."
        return "This is the first version."
    clips = [file for file in visible(paths.MUSIC) if len(file.parts) > 1 and (paths.MUSIC / file).is_file()]
    last = {paths.MUSIC / file: file.parts[0] for file in clips}
    regrouped = _regrouped(clips, groups)
    more = f"; another group for {counted(regrouped, 'clip')}" if regrouped else ""
    return f"Against the last version: {compared(last, labels)}{more}."


def _regrouped(clips: Sequence[Path], groups: Mapping[Path, str]) -> int:
    last: Mapping[Path, str] = {}
    if (paths.MUSIC / GROUPS).exists():
        with suppress(SourceError):  # a table that a person damaged is replaced
            last = tables.groups(paths.MUSIC / GROUPS, paths.MUSIC, clips)[0].joined()
    return sum(last.get(clip, "") != groups[clip] for clip in clips if clip in groups)


def compared(last: Labels, new: Labels) -> Changes:
    """Names of files decide nothing. A file whose tags were changed has the same sound."""
    same, relabelled = 0, 0
    for digest in (_bytes, _sound):
        pairs, last, new = _paired(last, new, digest)
        same += sum(old == label for old, label in pairs)
        relabelled += sum(old != label for old, label in pairs)
    return Changes(len(new), relabelled, len(last), same)


def _paired(
    last: Labels, new: Labels, digest: Callable[[Path], str]
) -> tuple[list[tuple[str, str]], dict[Path, str], dict[Path, str]]:
    """Labels, old and new, of files with equal digests; and what is left on either side."""
    if not last or not new:
        return [], dict(last), dict(new)
    before, after = _by_digest(last, digest), _by_digest(new, digest)
    pairs, gone, came = [], dict(last), dict(new)
    for key in before.keys() & after.keys():
        kept = Counter(last[file] for file in before[key]) & Counter(new[file] for file in after[key])
        # of several copies, those with the same label are pairs first
        olds, news = _in_order(before[key], last, kept), _in_order(after[key], new, kept)
        for old, file in zip(olds, news, strict=False):
            pairs.append((gone.pop(old), came.pop(file)))
    return pairs, gone, came


def _in_order(files: list[Path], labels: Labels, first: Counter[str]) -> list[Path]:
    """Those of the labels ``first`` before the others."""
    left, front, rest = Counter(first), list[Path](), list[Path]()
    for file in sorted(files, key=lambda file: labels[file]):
        (front if left[labels[file]] > 0 else rest).append(file)
        left[labels[file]] -= 1
    return front + rest


def _by_digest(labels: Labels, digest: Callable[[Path], str]) -> dict[str, list[Path]]:
    found = defaultdict(list)
    with ThreadPoolExecutor(cores()) as pool:
        digests = tqdm(pool.map(digest, labels), "compare", len(labels), unit="file", disable=None, leave=False)
        for file, key in zip(labels, digests, strict=True):
            found[key].append(file)
    return found


def _bytes(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def _sound(file: Path) -> str:
    """Of the coded sound, without the tags around it; of a file that is no audio, its path."""
    found = hashlib.md5()
    try:
        with av.open(str(file)) as container:
            for packet in container.demux(container.streams.audio[:1]):
                found.update(bytes(packet))
    except (av.error.FFmpegError, ValueError, OSError):
        return str(file)
    return found.hexdigest()
