"""Features of clips on a Dask cluster here: two workers against one."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.timing import Row, compare
from pipeline import config
from pipeline.base.cluster import given
from pipeline.base.parallel import each, workers
from pipeline.features.extract import Task, blocks

KINDS = ["tabular", "spectrogram", "wavelet"]
(TWO,) = FIGURES = ("features on two Dask workers",)
COPIES = 6
"""Each clip is computed so often, for the last ones to weigh little."""


def run(files: list[Path], repeats: int) -> Iterator[Row]:
    compute = partial(blocks, settings=config.load().features)
    tasks = [Task(file.absolute(), KINDS) for file in files]
    with ExitStack() as stack:
        pools = []
        for count in (2, 1):
            stack.enter_context(given(f"local:{count}"))
            pools.append(stack.enter_context(workers()))
        for pool in pools:
            list(each(pool, compute, tasks, "warming"))
        two, one = (partial(lambda pool: list(each(pool, compute, tasks * COPIES, "features")), pool) for pool in pools)
        yield compare(TWO, two, "one", one, repeats)
