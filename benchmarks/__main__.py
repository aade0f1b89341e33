"""Run the benchmarks: ``python -m benchmarks --clips FOLDER``."""

import argparse
import importlib
import json
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.machine import processor
from benchmarks.timing import Row
from pipeline import config
from pipeline.base.files import write_json
from pipeline.base.parallel import cores

PARTS = (
    "features",
    "training",
    "reruns",
    "excerpt",
    "decoders",
    "memory",
    "duplicates",
    "champion",
    "tagger",
    "cluster",
)
ALONE = ("choice", "repro", "scale")
"""Benchmarks with options of their own: ``python -m benchmarks choice --help``."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="Example: python -m benchmarks --clips ~/gtzan/genres --only features",
    )
    parser.add_argument("--clips", type=Path, default=Path("data/audio"), help="folder of clips (default: %(default)s)")
    parser.add_argument(
        "--count", type=int, default=10, help="clips that features are compared on (default: %(default)s)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="pairs of each comparison (default: %(default)s)")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=list(PARTS[:-1]), help="parts to run (cluster needs Dask)"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results.json"), help="JSON (default: %(default)s)")
    given = parser.parse_args()
    files = sorted(file for file in given.clips.rglob("*") if file.suffix in (".wav", ".flac", ".ogg", ".mp3"))
    if len(files) < given.count:
        sys.exit(f"error: {given.clips} has {len(files)} clips, {given.count} are needed: name another with --clips")
    # spread over the folder, whose neighbours are alike
    files = files[:: len(files) // given.count][: given.count]
    machine = {"processor": processor(), "cores": cores(), "python": platform.python_version()}
    print(json.dumps(machine))
    rows: list[dict[str, object]] = []
    for found in _rows(given.only, files, given.repeats):
        rows.append(found)
        print(" | ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in found.values()))
    write_json(given.out, {**machine, "clips": len(files), "repeats": given.repeats, "rows": rows})


def _rows(parts: list[str], files: list[Path], repeats: int) -> Iterator[dict[str, object]]:
    if "features" in parts:
        from benchmarks import features

        yield from map(Row._asdict, features.run(files, config.load().features, repeats))
    if "training" in parts:
        from benchmarks import training

        yield from map(Row._asdict, training.run(repeats))
        if training.has_keras():
            ours, theirs = training.losses()
            yield {"what": "tutorial CNN, fp32, loss after equal steps", "ours": ours, "Keras": theirs}
    if "reruns" in parts:
        from benchmarks import reruns

        yield reruns.added(files, 1000, repeats)._asdict()
    if "excerpt" in parts:
        from benchmarks import reruns

        yield from reruns.excerpt(files)
    if "decoders" in parts:
        from benchmarks import decoders

        yield from map(Row._asdict, decoders.run(repeats))
    if "memory" in parts:
        from benchmarks import reruns

        for count, megabytes in reruns.memory(files, (1000, 10000)):
            yield {"what": f"memory of the features stage, {count} clips of 3 s", "MB": megabytes}
    if "duplicates" in parts:
        from benchmarks import duplicates

        yield from duplicates.run((500, 1000, 2000))
    if "champion" in parts:
        from benchmarks import champion

        yield from champion.run(files)
    if "tagger" in parts:
        from benchmarks import champion

        yield from map(Row._asdict, champion.tagger(files, repeats))
    if "cluster" in parts:
        from benchmarks import cluster

        yield from map(Row._asdict, cluster.run(files, config.load().features, repeats))


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in ALONE:
        importlib.import_module(f"benchmarks.{sys.argv[1]}").main()
    else:
        main()
