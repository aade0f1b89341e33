"""Training in several processes, or ranks, by Lightning's ddp: started here on one machine, by srun on several.

The process that asks for the training is none of them: it sends each its job, hears of each epoch from rank zero, and alone
talks to MLflow. So whatever trains, a stage, a sweep or an ensemble, can have several.
"""

import copyreg
import io
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from mmap import mmap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.base.errors import UserError, reported
from pipeline.config.training import Training
from pipeline.training import OnEpoch
from pipeline.training.dataset import Windows
from pipeline.training.module import Learner, over_ranks

Process = subprocess.Popen[bytes]


class Job(NamedTuple):
    """What a process needs to train."""

    module: Learner
    train: Windows
    valid: Windows | None
    settings: Training
    seed: int
    folder: Path


class Done(NamedTuple):
    rows: list[dict[str, float]]
    checkpoint: str
    """File of the epoch that is kept."""


def launched(job: Job, on_epoch: OnEpoch) -> Done:
    """As :func:`pipeline.training.trainer.run`, in processes of their own.

    Raises:
        UserError: there are fewer clips than processes, or one of these was killed or failed.
    """
    clips = min(len(part) for part in (job.train, job.valid) if part is not None)
    if clips < job.settings.processes:
        raise UserError(f"training.devices: {job.settings.processes} processes have but {clips} clips to share")
    told: dict[str, Any] = {}
    with tempfile.TemporaryFile("w+", errors="replace") as said, ThreadPoolExecutor(1) as threads:
        ranks = _started(job.settings, said)
        ended = threads.submit(_end_together, ranks)
        try:
            _send(job, ranks)
            for line in ranks[0].stdout or ():
                told = json.loads(line)
                if "epoch" in told:
                    on_epoch(told["epoch"], told["metrics"])
        except BaseException:
            _kill(ranks)
            raise
        codes = ended.result()
        said.seek(0)
        _check(codes, said.read())
    return Done(**told)


def _started(settings: Training, said: Any) -> list[Process]:
    with socket.socket() as free:
        free.bind(("", 0))
        # C++ warns where all parameters are used, which is looked for since some networks have others
        shared = {"MASTER_PORT": str(free.getsockname()[1]), "TORCH_CPP_LOG_LEVEL": "ERROR"}
    # where this is not set Lightning takes as many threads as there are cores, and so other sums on another machine
    shared["OMP_NUM_THREADS"] = str(settings.threads)
    command = [sys.executable, "-m", __name__]
    places: list[dict[str, str]] = [{}]
    if settings.nodes > 1:  # SLURM tells each process where it is
        count = [f"--nodes={settings.nodes}", f"--ntasks-per-node={settings.devices}"]
        command = ["srun", *count, "--kill-on-bad-exit=1", *command]
    else:
        here = {"MASTER_ADDR": "127.0.0.1", "NODE_RANK": "0"}
        places = [{**here, "LOCAL_RANK": str(number)} for number in range(settings.devices)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": said}
    return [subprocess.Popen(command, env={**os.environ, **shared, **place}, **pipes) for place in places]


def _send(job: Job, ranks: list[Process]) -> None:
    content = io.BytesIO()
    pickler = pickle.Pickler(content)
    pickler.dispatch_table = {**copyreg.dispatch_table, np.memmap: _by_path}
    pickler.dump(job)
    for rank in ranks:
        assert rank.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, and its exit status says why
            rank.stdin.write(content.getbuffer())
            rank.stdin.flush()


def _by_path(array: Any) -> Any:
    """Of a store, not the numbers but where they are."""
    if not isinstance(array.base, mmap):
        return np.asarray(array).__reduce__()
    return np.memmap, (array.filename, array.dtype, "r", array.offset, array.shape)


def _end_together(ranks: list[Process]) -> list[int | None]:
    """Wait for all; one alone would wait for the others, so they are ended when the first fails.

    Returns:
        The exit statuses at that moment.
    """
    while None in (codes := [rank.poll() for rank in ranks]) and not any(codes):
        time.sleep(0.1)
    _kill(ranks)
    return codes


def _kill(ranks: list[Process]) -> None:
    for rank in ranks:
        rank.kill()
        rank.wait()


def _check(codes: list[int | None], said: str) -> None:
    if not any(codes):
        sys.stderr.write(said)
    elif -signal.SIGKILL in codes or 128 + signal.SIGKILL in codes:
        raise UserError(
            "a process of the training was killed, probably because memory ran out: the same command goes on after the last "
            "epoch; a smaller training.batch_size takes less memory"
        )
    else:
        *before, last = said.splitlines() or [f"exit status {max(filter(None, codes))}"]
        sys.stderr.write("".join(f"{line}\n" for line in before))
        raise UserError(f"a process of the training failed: {last.removeprefix('error: ')}")


def synced(net: nn.Module) -> None:
    """Let batch norms take mean and variance over the whole batch on the CPU, as torch's own do on GPUs alone."""
    for layer in net.modules():
        if isinstance(layer, _BatchNorm):
            layer.__class__ = _Synced


class _Sum(torch.autograd.Function):
    """Over all processes, with a gradient."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return over_ranks(values.clone())

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return over_ranks(gradient.clone())


def _summed(values: Tensor) -> Tensor:
    every: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return every


class _Synced(_BatchNorm):
    def forward(self, values: Tensor) -> Tensor:
        if not self.training:
            return functional.batch_norm(
                values, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        over, shape = [0, *range(2, values.ndim)], (1, -1, *[1] * (values.ndim - 2))
        count = over_ranks(values.new_tensor(values.numel() / values.shape[1], dtype=torch.float32))
        mean = _summed(values.float().sum(over)) / count
        centred = values - mean.view(shape)
        variance = _summed(centred.square().sum(over)) / count
        assert self.momentum is not None
        with torch.no_grad():
            for kept, new in ((self.running_mean, mean), (self.running_var, variance * count / (count - 1))):
                assert kept is not None
                kept.lerp_(new, self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
        scaled = centred * (variance + self.eps).rsqrt().view(shape)
        return (scaled * self.weight.view(shape) + self.bias.view(shape)).to(values.dtype)


def main() -> None:
    """One rank: its job comes by stdin, which ends with the process that asked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches that process too, which ends this one
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not mix with it

    def tell(**content: Any) -> None:
        if rank_zero_only.rank == 0:
            print(json.dumps(content), file=told, flush=True)

    job = pickle.load(sys.stdin.buffer)  # noqa: S301  # of this very package, by a pipe
    threading.Thread(target=_end_with_input, daemon=True).start()
    from pipeline.training.trainer import run

    with reported():
        tell(**run(job, lambda epoch, metrics: tell(epoch=epoch, metrics=metrics))._asdict())


def _end_with_input() -> None:
    while os.read(0, 1):  # not through its buffer, which a thread must not hold when Python ends
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
