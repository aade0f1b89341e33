"""Which files a table means: its paths and ids are compared with the files' names, not only as they are written."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.sources.importing.files import normal

_SUFFIX = re.compile(
    r"\.(wave?|mp[234]|m4[ab]|flac|og[ga]|opus|aac|aiff?|au|snd|wma|ape|wv|mka|webm|amr|ac3|caf)$", re.I
)
"""Only these are left out: ``blues.00001`` and ``song.v2`` are ids."""
Endings = dict[str, list[Path]]
"""Files by each ending of their names: ``jazz/live/b.flac`` by itself, by ``live/b.flac`` and by ``b.flac``."""


class Files:
    """Files of a folder, to be found by what a table calls them."""

    def __init__(self, folder: Path, files: Sequence[Path]) -> None:
        self._folder = normal(folder.resolve().name).casefold()
        names = {file: normal(file.as_posix()) for file in files}
        stems = {file: _stem(name) for file, name in names.items()}
        self._depth = {file: name.count("/") for file, name in names.items()}
        self._written = _by_ending(names), _by_ending(stems)
        self._folded = _by_ending(_folded(names)), _by_ending(_folded(stems))

    def find(self, text: str) -> list[Path]:
        """The file of this path or id (a name without suffix); several if it is ambiguous, none if there is none.

        A path may have folders too few or too many at its start: one of the two must end with the other. Letter case
        and the suffix decide only where several files would match without.
        """
        name = normal(text)
        for (names, stems), wanted in ((self._written, name), (self._folded, name.casefold())):
            for endings, key in ((names, wanted), (stems, wanted), (stems, _SUFFIX.sub("", wanted))):
                # a name without folder is a path only with its suffix: as an id it may be of several folders
                if found := self._at(key, endings, exact=endings is names or "/" in key):
                    return found
        return []

    def _at(self, name: str, endings: Endings, exact: bool) -> list[Path]:
        if hits := endings.get(name, []):
            return (self._whole(name, hits) if exact else []) or hits
        for rest, above in _endings(name):
            # a file name alone says little: the folder before it must be the one that is imported
            is_same = above and ("/" in rest or above.rsplit("/", 1)[-1].casefold() == self._folder)
            if is_same and (whole := self._whole(rest, endings.get(rest, []))):
                return whole
        return []

    def _whole(self, name: str, hits: list[Path]) -> list[Path]:
        return [file for file in hits if self._depth[file] == name.count("/")]


def _folded(names: dict[Path, str]) -> dict[Path, str]:
    return {file: name.casefold() for file, name in names.items()}


def _by_ending(names: dict[Path, str]) -> Endings:
    found: Endings = defaultdict(list)
    for file, name in names.items():
        for ending, _ in _endings(name):
            found[ending].append(file)
    return dict(found)


def _stem(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{Path(last).stem}"


def _endings(path: str) -> Iterator[tuple[str, str]]:
    """Each ending of a path with what is before it: ``a/b`` gives ("a/b", ""), ("b", "a")."""
    parts = path.split("/")
    return (("/".join(parts[start:]), "/".join(parts[:start])) for start in range(len(parts)))
