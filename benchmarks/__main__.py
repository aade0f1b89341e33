"""Run the benchmarks: ``python -m benchmarks --clips FOLDER``."""

import argparse
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import table
from benchmarks.machine import processor
from benchmarks.timing import Row
from pipeline.base.files import write_text
from pipeline.base.parallel import cores

PARTS = ("features", "training", "reruns", "stage", "decoders", "duplicates", "champion", "repro", "cluster")
"""Modules with FIGURES, the names of what ``run(files, repeats)`` gives: all of them, where what they need is installed."""
ALONE = ("choice", "repro", "scale")
"""With options of their own: ``python -m benchmarks choice --help``."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="Example: python -m benchmarks --clips ~/gtzan/genres --only features",
    )
    parser.add_argument("--clips", type=Path, default=Path("data/audio"), help="folder of clips (default: %(default)s)")
    parser.add_argument("--count", type=int, default=10, help="clips that are measured on (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of each comparison (default: %(default)s)")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=list(PARTS[:-1]), help="parts to run (cluster needs Dask)"
    )
    parser.add_argument("--out", type=Path, default=table.OUT, help="JSON, which keeps what it has of other parts")
    given = parser.parse_args()
    files = sorted(file for file in given.clips.rglob("*") if file.suffix in (".wav", ".flac", ".ogg", ".mp3"))
    if len(files) < given.count:
        sys.exit(f"error: {given.clips} has {len(files)} clips, {given.count} are needed: name another with --clips")
    # spread over the folder, whose neighbours are alike
    files = files[:: len(files) // given.count][: given.count]
    documented, kept = table.read(table.OUT), table.read(given.out)
    found: dict[str, Row] = {}
    for row in _rows(given.only, files, given.repeats):
        found[row.what] = row
        print(f"{row.what}: {row.ours:.4g} {row.unit}, {row.against}: {row.theirs:.4g} {row.unit}", flush=True)
        table.write(given.out, kept | found)  # a later part may fail
    measured = {name: (kept | found)[name] for name in names() if name in kept | found}
    table.write(given.out, measured)
    if given.out == table.OUT:
        write_text(table.DOCUMENT, table.updated(table.DOCUMENT.read_text(encoding="utf-8"), names(), measured))
    print(f"\n{table.beside(names(), documented, found)}\n")
    print(f"{given.out} has these figures{f', and {table.DOCUMENT} their table' if given.out == table.OUT else ''}.")


def names() -> list[str]:
    """Of all figures, in the order of the documents."""
    return [name for part in PARTS for name in figures(part)]


def figures(part: str) -> tuple[str, ...]:
    names: tuple[str, ...] = importlib.import_module(f"benchmarks.{part}").FIGURES
    return names


def _rows(parts: list[str], files: list[Path], repeats: int) -> Iterator[Row]:
    """
    Raises:
        RuntimeError: a benchmark gives a figure that it does not name, so that no document would have it.
    """
    machine = f"{processor()}, {cores()} cores"
    for part in parts:
        for row in importlib.import_module(f"benchmarks.{part}").run(files, repeats):
            if row.what not in figures(part):
                raise RuntimeError(f"the FIGURES of benchmarks/{part}.py lack {row.what!r}")
            yield row._replace(on=machine)


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in ALONE:
        importlib.import_module(f"benchmarks.{sys.argv[1]}").main()
    else:
        main()
