"""What work takes by the number of clips: ``python -m benchmarks scale``.

Real stages, each a process of its own, in a checkout of made-up clips: ten labels, groups of one to seven clips, 40 frames of
a spectrogram and 8 columns of a table for each. So figures are of what is done with tables and stores, not of decoding or of
a large network. Beside them the audit of as many files that need no decoding, the search for clips of the same audio among
as many of 1.5 s, and the bootstrap. Time is that of the processor, which other work on the machine changes little, with the
start of Python in it. Memory is the most that a command's processes had of their own at one time; pages of files that are mapped
into memory do not count, since the system drops them where it needs the room.
"""

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import yaml

from benchmarks import duplicates
from benchmarks.machine import processor
from benchmarks.memory import peak
from pipeline import config
from pipeline.base import paths
from pipeline.base.files import read_json, write_json, write_text
from pipeline.base.parallel import cores
from pipeline.data import audit, clips, fingerprint
from pipeline.evaluation import bootstrap, metrics
from pipeline.features.cache import link_or_copy
from pipeline.features.store import Writer, block

ROOT = Path(__file__).parents[1]
SIZES = (1_000, 10_000, 100_000)
LABELS, LARGEST_GROUP = 10, 7
FRAMES, BANDS, COLUMNS, WINDOW = 40, 32, 8, 32
SECONDS = 1.5
"""Of sound, of the clips that are compared."""
OUT, DOCUMENT = Path("docs/results/scale.json"), Path("docs/cluster.md")
BEGIN, END = "<!-- scale: made by benchmarks/scale.py -->\n", "<!-- end of scale -->\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: python -m benchmarks scale --sizes 1000 10000 --only split audit",
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="numbers of clips")
    parser.add_argument("--only", nargs="+", choices=STEPS, default=list(STEPS), help="of the table's rows")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON, which keeps what it has of other rows and sizes")
    given = parser.parse_args(sys.argv[2:])
    for size in given.sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make(folder, size)
            for step in _needed(given.only):
                found = _measured(STEPS[step], folder)
                print(f"{size:7,} {step}: {found['s']:.1f} s, {found['MB']:.0f} MB", flush=True)
                if step in given.only:
                    _keep(given.out, step, size, found)
    if given.out == OUT:
        write_text(DOCUMENT, updated(DOCUMENT.read_text(encoding="utf-8"), read_json(OUT)))


def _stage(*names: str) -> list[str]:
    return [sys.executable, "-m", "pipeline.stages", *names]


def _own(name: str) -> list[str]:
    return [sys.executable, "-c", f"from benchmarks import scale; scale.{name}()"]


STEPS = {
    "split": _stage("split"),
    "train a small CNN, one epoch": _stage("train", "cnn"),
    "evaluate it": _stage("evaluate", "cnn"),
    "train logreg": _stage("train", "logreg"),
    "evaluate logreg": _stage("evaluate", "logreg"),
    "report on the data": _stage("describe"),
    "compare both": _stage("compare"),
    "bootstrap of both": _own("resample"),
    "audit without decoding": _own("look"),
    "search for duplicates": _own("search"),
}
ALONE = 2
"""So many of the last need none before them, the others all before."""


def _needed(wanted: list[str]) -> list[str]:
    chain, alone = list(STEPS)[:-ALONE], list(STEPS)[-ALONE:]
    last = max((place for place, step in enumerate(chain) if step in wanted), default=-1)
    return [*chain[: last + 1], *(step for step in alone if step in wanted)]


def _measured(command: list[str], folder: Path) -> dict[str, float]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_"))}
    start, used = time.perf_counter(), _children_s()
    most = peak(command, folder, {**environment, "PYTHONPATH": str(ROOT)}, of=_unmapped)
    return {"s": round(_children_s() - used, 2), "wall_s": round(time.perf_counter() - start, 2), "MB": round(most)}


def _children_s() -> float:
    """Processor time of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _unmapped(process: psutil.Process) -> int:
    """Bytes of memory that are of no file; 0 for a process that has just ended."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def _keep(file: Path, step: str, size: int, found: dict[str, float]) -> None:
    rows: dict[str, dict[str, Any]] = read_json(file)["rows"] if file.exists() else {}
    rows[step] = {**rows.get(step, {}), str(size): found}
    write_json(
        file, {"processor": processor(), "cores": cores(), "rows": {one: rows[one] for one in STEPS if one in rows}}
    )


def updated(text: str, found: dict[str, Any]) -> str:
    """The document with these results between its marks."""
    before, rest = text.split(BEGIN)
    sizes = sorted({size for row in found["rows"].values() for size in row}, key=int)
    heads = [f"{int(size):,}: {unit}" for unit in ("s", "MB") for size in sizes]
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    for step, row in found["rows"].items():
        cells = [f"{row[size][unit]:.3g}" if size in row else "–" for unit in ("s", "MB") for size in sizes]
        lines.append(f"| {step} | {' | '.join(cells)} |")
    table = "\n".join(lines)
    machine = f"On {found['cores']} cores, {found['processor']}."
    return f"{before}{BEGIN}\n{table}\n\n{machine}\n\n{END}{rest.split(END)[1]}"


def make(folder: Path, count: int) -> None:
    """A checkout up to the stage `features`."""
    rng = np.random.default_rng(count)
    settings = _params(folder)
    size = rng.integers(1, LARGEST_GROUP + 1, count)
    group = np.repeat(np.arange(count), size)[:count]
    label = group % LABELS
    names = [f"clip{number:06}.wav" for number in range(count)]
    files = [folder / paths.AUDIO / name for name in names]
    files[0].parent.mkdir(parents=True)
    for file in files:
        file.write_text(file.name)
    digests = [sha256(name.encode()).hexdigest() for name in names]
    about = {"source": "folder", "duration_s": SECONDS, "sample_rate": 22050, "status": "ok", "reason": ""}
    table = pd.DataFrame(
        {
            "clip_id": names,
            "path": [f"{paths.AUDIO}/{name}" for name in names],
            "label": [f"label {number}" for number in label],
            "group": [f"group {number}" for number in group],
            "sha256": digests,
        }
    ).assign(**about, origin="made up", licence="none")
    clips.write(table, folder / paths.CLIPS)
    duplicated = folder / paths.DUPLICATES
    duplicated.write_text("first,second,kind,error_rate,shift_s,labels_differ\n", encoding="utf-8")
    write_text(folder / paths.AUDIT, "# Audit\n")
    for kind, width, rows in (("spectrogram", BANDS, FRAMES), ("tabular", COLUMNS, 1)):
        dtype = "float16" if rows > 1 else "float32"
        writer = Writer(folder / paths.FEATURES / kind, _spec(kind, settings) | {"dtype": dtype, "width": width})
        for name, digest, place in zip(names, digests, label, strict=True):
            values = rng.normal(-40, 10, (rows, width)) + 3 * (np.arange(width) % LABELS == place)
            writer.add(name, digest, block(values, dtype))
        writer.finish()
    shutil.copytree(
        folder / paths.FEATURES / "spectrogram", folder / paths.FEATURES / "wavelet", copy_function=link_or_copy
    )


def _spec(kind: str, settings: Any) -> dict[str, Any]:
    if kind == "tabular":
        return {"kind": kind, "windowed": False, "columns": [f"c{number}_mean" for number in range(COLUMNS)]}
    params = settings.features.spectrogram.model_dump()
    described = {"windowed": True, "bands": "mel", "silence_db": -80.0, "sample_rate": 22050}
    return {"kind": kind, **described, "params": params, "excerpt": "whole"}


def _params(folder: Path) -> Any:
    content = yaml.safe_load((ROOT / paths.PARAMS).read_text(encoding="utf-8"))
    content["data"]["source"] = "folder"
    content["split"]["folds"] = 1
    content["window"]["frames"] = WINDOW
    content |= {"leak": [], "sweeps": {}}
    wanted = {key: content["experiments"][key] for key in ("logreg", "cnn")}
    wanted["cnn"]["training"] = {"epochs": 1, "batch_size": 256, "precision": "32-true"}
    content["experiments"] = wanted
    content["training"] |= {"threads": 1, "accelerator": "cpu"}
    file = folder / paths.PARAMS
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    shutil.copy(ROOT / paths.GENRES, folder)
    return config.load(file)


def resample() -> None:
    """The bootstrap, in the working folder."""
    rows = {key: pd.read_parquet(paths.EVALUATION / key / "predictions.parquet") for key in ("cnn", "logreg")}
    tested = {key: metrics.of_part(own, "test") for key, own in rows.items()}
    bootstrap.interval(tested["cnn"], "macro_f1", 0)
    bootstrap.compare(tested, 0)


def look() -> None:
    """The audit of the working folder's files, which are not decoded."""
    table = clips.read()
    files = table[["clip_id", "path", "label", "group", "source", "origin", "licence"]]
    found, pairs = audit.audit(files, config.load().audit, audit.Checks(heard, nothing, ""))
    audit.summary(found, pairs)


def heard(_: Path, digest: str, __: object) -> audit.Finding:
    return audit.Finding(SECONDS, 22050, digest, "")


def nothing(_: audit.Fingerprints) -> list[audit.Pair]:
    return []


def search() -> None:
    """Of as many clips as the working folder has."""
    names = clips.read()["clip_id"]
    fingerprint.near({name: duplicates.made_up(seed, SECONDS) for seed, name in enumerate(names)})
