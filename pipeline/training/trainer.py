"""Train a module: all epochs, or early stopping and the best checkpoint; resumed where an interrupted run was."""

import ctypes
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from pipeline.config.training import Training
from pipeline.training import OnEpoch
from pipeline.training.dataset import Index, RandomWindows, Windows, even_batches
from pipeline.training.module import Batch, Classifier, Learner
from pipeline.training.ranks import Done, Job, launched, synced

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h, in bytes."""


class Batches(Dataset[Batch]):
    """Windows as tensors, a whole batch at an index."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows

    def __getitem__(self, pairs: Index) -> Batch:
        inputs, targets, clips = self.windows[pairs]
        return Batch(tuple(map(torch.from_numpy, inputs)), torch.from_numpy(targets), torch.from_numpy(clips))


class History(pl.Callback):
    """One row of metrics per epoch, saved in checkpoints, so that a resumed run has them all."""

    def __init__(self, on_epoch: OnEpoch) -> None:
        self.rows: list[dict[str, float]] = []
        self.on_epoch = on_epoch

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        # epochs before an interruption, which may have been logged to another store
        for row in self.rows:
            self.on_epoch(int(row["epoch"]), {name: value for name, value in row.items() if name != "epoch"})

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        found = trainer.callback_metrics
        metrics = {name: float(found[name]) for name in pl_module.logged if name in found}
        self.rows.append({"epoch": trainer.current_epoch, **metrics})
        self.on_epoch(trainer.current_epoch, metrics)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])


class Patience(pl.callbacks.EarlyStopping):
    """Early stopping that also stops a run resumed from its last epoch."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        trainer.should_stop = self.wait_count >= self.patience


def fit(
    net: nn.Module,
    train: Windows,
    valid: Windows | None,
    settings: Training,
    seed: int,
    folder: Path,
    on_epoch: OnEpoch,
    learner: Learner | None = None,
) -> pd.DataFrame:
    """Train ``net`` in place to the last epoch, or to its best on ``valid`` where something is monitored.

    Args:
        learner: trains ``net`` for targets that are not labels; by default a Classifier.
        folder: checkpoints; where it holds a last one, training goes on from there.

    Returns:
        One row per epoch with the columns of HISTORY, NaN where there is no ``valid``; of another learner, ``epoch`` and what it logs.
    """
    silence_db = [source.silence_db for source in train.sources]
    module = learner or Classifier(net, settings, _class_weights(train, settings), silence_db, len(valid or ()), seed)
    job = Job(module, train, valid, settings, seed, folder)
    done = launched(job, on_epoch) if settings.distributed else run(job, on_epoch)
    chosen = torch.load(done.checkpoint, map_location="cpu", weights_only=True)
    module.load_state_dict(chosen["state_dict"])
    net.cpu().eval()
    return pd.DataFrame(done.rows, columns=["epoch", *module.logged])


def run(job: Job, on_epoch: OnEpoch) -> Done:
    """Train in this process: the only one, or one of several, which share the windows of each batch."""
    module, train, valid, settings, seed, folder = job
    keep_memory()
    # what hardware there is not, and products of its maker
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.distributed"):
        logging.getLogger(name).setLevel(logging.WARNING)
    pl.seed_everything(seed, verbose=False)
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a tenth of the time
    history = History(on_epoch)
    whole_epochs: dict[str, Any] = {"enable_version_counter": False, "save_on_train_epoch_end": True}
    mode = "max" if settings.monitor == "valid_macro_f1" else "min"
    best = pl.callbacks.ModelCheckpoint(folder, "best", settings.monitor, mode=mode, **whole_epochs)
    # not save_last=True, which saves the better epochs alone; after `best`, whose state it saves
    last = pl.callbacks.ModelCheckpoint(folder, "last", **whole_epochs)
    checkpoints = [best, last] if settings.monitor else [last]
    bar = sys.stdout.isatty()
    callbacks = [history, *checkpoints, *([pl.callbacks.TQDMProgressBar(refresh_rate=4)] if bar else [])]
    if settings.patience is not None:
        callbacks.append(Patience(settings.monitor, mode=mode, patience=settings.patience))
    trainer = pl.Trainer(
        max_epochs=settings.epochs,
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy=DDPStrategy(find_unused_parameters=True, broadcast_buffers=False) if settings.distributed else "auto",
        sync_batchnorm=settings.distributed and settings.accelerator != "cpu",
        # on one node, whatever SLURM, torchrun or MPI say of the job around it
        plugins=[LightningEnvironment() if settings.nodes == 1 else SLURMEnvironment(auto_requeue=False)],
        precision=settings.precision,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    if settings.distributed and settings.accelerator == "cpu":
        synced(module)
    share = (trainer.global_rank, trainer.world_size)
    shown: list[Index] = []
    if valid:
        own = np.array_split(valid.even(valid.frames), trainer.world_size)[trainer.global_rank]
        shown = even_batches(own, settings.batch_size)
    begun = folder / "last.ckpt"
    module.train()  # Lightning leaves the mode as it is, and a loaded backbone is in evaluation mode
    with warnings.catch_warnings():
        # batches are cut out of memory in one operation: worker processes would only copy them
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*have no `val_dataloader`.*")  # of a refit
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # a deprecation within Lightning
        warnings.filterwarnings("ignore", message=".*sync_dist=True.*")  # what is logged is of all processes
        warnings.filterwarnings("ignore", message=".*broadcast_buffers.*")  # its new name is not in every torch
        trainer.fit(
            module,
            _loader(
                train, RandomWindows(train.max_offset, settings.windows_per_clip, settings.batch_size, seed, share)
            ),
            _loader(valid, shown) if valid else None,
            ckpt_path=str(begun) if begun.exists() else None,
            weights_only=True,
        )
    return Done(history.rows, str(checkpoints[0].best_model_path))


def keep_memory() -> None:
    """By default glibc returns large freed blocks to the system, and the next step, which needs as much, has them zeroed
    page by page (a quarter of a CNN's time on the CPU). Without glibc this does nothing."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def _loader(windows: Windows, sampler: RandomWindows | list[Index]) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)  # the loader draws from it, and not from the global one
    return DataLoader(Batches(windows), sampler=sampler, batch_size=None, generator=generator)


def _class_weights(train: Windows, settings: Training) -> Tensor:
    """Inverse label frequency, mean 1 over the clips; ones where not asked for."""
    counts = np.bincount(train.targets)
    weights = len(train) / (len(counts) * counts) if settings.class_weights else np.ones(len(counts))
    return torch.from_numpy(weights.astype(np.float32))
