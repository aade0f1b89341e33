"""What a person sees of a run: a line for each stage that ended, and on a terminal which stages run now.

A stage's own output goes into a log. Of that the console shows the stage's result (the line that begins with its name, see
:mod:`pipeline.stages.command`), its warnings, and, if it failed, what it said last.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Collection
from pathlib import Path

from tqdm import tqdm

from pipeline.base import paths
from pipeline.base.text import duration

WARNING, ERROR = "warning: ", "error: "
"""What lines of a stage's output begin with."""
MOST_WARNINGS = 3
"""Of one stage; its log has all."""
LAST = 12
"""Lines of an output that ends without a sentence."""
DVC_SKIPPED = {"is cached - skipping run": "restored from DVC's cache", "didn't change, skipping": "unchanged"}
"""What DVC says instead of running a stage."""

DVC_FAILED = re.compile(r"ERROR: failed to reproduce '\S+': ")
"""How it ends where a stage fails."""
DVC_KILLED = re.compile(DVC_FAILED.pattern + r".*, exited with (-9|137)$", re.MULTILINE)
"""137 is what a shell says that waits for the stage, as dash does; bash becomes the stage."""
DVC_INTERRUPTED = re.compile(DVC_FAILED.pattern + r".*, exited with (-2|130)$", re.MULTILINE)
INTERRUPTED = "was interrupted"
KILLED = "was killed, probably because memory ran out: run fewer stages at a time (`make repro JOBS=1`)"


def log() -> None:
    """Let a stage's process log to stderr as the console reads it."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Plain("%(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("pipeline").setLevel(logging.INFO)


class _Plain(logging.Formatter):
    """Messages without the names of loggers; this package's warnings are marked."""

    def format(self, record: logging.LogRecord) -> str:
        own = record.levelno >= logging.WARNING and record.name.startswith("pipeline")
        return f"{WARNING if own else ''}{super().format(record)}"


def log_file(stage: str) -> Path:
    name = re.sub(r"[^\w@.-]+", "-", shown(stage))
    return paths.logs() / f"{name}.log"


def near(path: Path) -> str:
    """From the working folder."""
    return os.path.relpath(path)


def shown(stage: str) -> str:
    """The stage of a lesson without the name of its file: `lessons/neuron:run`."""
    return stage.replace("/dvc.yaml:", ":")


class Console:
    """Is told of stages that begin and end, shows the latter, and on a terminal for how long the others have run."""

    def __init__(self, stages: Collection[str]) -> None:
        self._count, self._width = len(stages), max((len(shown(stage)) for stage in stages), default=0)
        self._ended = 0
        self._begun: dict[str, float] = {}
        # both on stdout, so that what is piped elsewhere has the lines alone
        form = "{n_fmt}/{total_fmt} |{bar:20}| {desc}"
        self._bar = tqdm(
            total=self._count, file=sys.stdout, disable=None, leave=False, dynamic_ncols=True, bar_format=form
        )

    def close(self) -> None:
        self._bar.close()

    def begin(self, stage: str) -> None:
        self._begun[stage] = time.monotonic()
        self.tick()

    def tick(self) -> None:
        now = time.monotonic()
        running = [f"{shown(stage)} {duration(now - begun)}" for stage, begun in self._begun.items()]
        self._bar.set_description_str(", ".join(running))

    def end(self, stage: str, failed: bool) -> None:
        self._ended += 1
        seconds = time.monotonic() - self._begun.pop(stage)
        text = _output(stage)
        place = f"[{self._ended:{len(str(self._count))}}/{self._count}]"
        result = "failed" if failed else result_of(stage, text)
        self._write(f"{place} {shown(stage):{self._width}}  {duration(seconds):>11}  {result}")
        warnings = [line for line in text.splitlines() if line.startswith(WARNING)]
        for line in warnings[:MOST_WARNINGS]:
            self._write(f"{'':{len(place)}} {line}")
        if left := warnings[MOST_WARNINGS:]:
            self._write(f"{'':{len(place)}} {len(left)} more warnings: {near(log_file(stage))}")
        self._bar.update()
        self.tick()

    def _write(self, line: str) -> None:
        tqdm.write(line.rstrip(), file=sys.stdout)
        sys.stdout.flush()


def result_of(stage: str, output: str) -> str:
    """What the stage says of its result, or why it did not run."""
    name = stage.rpartition(":")[2]
    own = [line.removeprefix(f"{name}: ") for line in output.splitlines() if line.startswith(f"{name}: ")]
    return own[-1] if own else next((word for text, word in DVC_SKIPPED.items() if text in output), "")


def failure(stage: str) -> str:
    """The sentence that a failed stage ended with, else the last lines of its output."""
    if DVC_KILLED.search(_output(stage)):
        return KILLED
    if DVC_INTERRUPTED.search(_output(stage)):
        return INTERRUPTED
    lines = _output(stage).splitlines()
    own = [line for line in lines if not DVC_FAILED.match(line)] or [DVC_FAILED.sub("", line) for line in lines]
    sentences = [number for number, line in enumerate(own) if line.startswith(ERROR)]
    told = own[sentences[-1] :] if sentences else [line for line in own if line.strip()][-LAST:]
    return "\n".join(told).removeprefix(ERROR).strip()


def _output(stage: str) -> str:
    return log_file(stage).read_text(encoding="utf-8", errors="replace")
