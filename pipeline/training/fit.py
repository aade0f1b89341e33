"""Train a module: early stopping and the best checkpoint by validation, resumed where an interrupted run was."""

import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pipeline.params import Training
from pipeline.training import HISTORY, EpochSink
from pipeline.training.classifier import Classifier
from pipeline.training.windows import EvenWindows, RandomWindows, Windows


class History(Callback):
    """One row of metrics per epoch; kept in checkpoints, so that a resumed run has them all."""

    def __init__(self, sink: EpochSink) -> None:
        self.rows: list[dict[str, float]] = []
        self.sink = sink

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        metrics = {name: float(trainer.callback_metrics[name]) for name in HISTORY[1:]}
        self.rows.append({"epoch": trainer.current_epoch, **metrics})
        self.sink(trainer.current_epoch, metrics)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])


class Patience(EarlyStopping):
    """Early stopping that also holds for a run resumed from its last epoch."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        trainer.should_stop = self.wait_count >= self.patience


def fit(
    net: nn.Module,
    train: Windows,
    valid: Windows,
    settings: Training,
    seed: int,
    folder: Path,
    sink: EpochSink,
) -> pd.DataFrame:
    """Train ``net`` in place to its best epoch on ``valid``.

    Args:
        folder: checkpoints; where it holds a last one, training goes on from there.
        sink: is told each epoch's number and metrics as soon as it ends.

    Returns:
        One row per epoch with the columns of HISTORY.
    """
    pl.seed_everything(seed, verbose=False)
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a tenth of the time
    module = Classifier(net, settings, _class_weights(train, settings), len(valid), seed)
    history = History(sink)
    whole_epochs: dict[str, Any] = {"enable_version_counter": False, "save_on_train_epoch_end": True}
    mode = "min" if settings.monitor == "valid_loss" else "max"
    best = ModelCheckpoint(folder, "best", settings.monitor, mode=mode, **whole_epochs)
    # not save_last=True, which saves no epoch but the better ones; behind `best`, whose state it keeps
    last = ModelCheckpoint(folder, "last", **whole_epochs)
    callbacks = [history, best, last, TQDMProgressBar(refresh_rate=1)]
    if settings.patience is not None:
        callbacks.append(Patience(settings.monitor, mode=mode, patience=settings.patience))
    trainer = pl.Trainer(
        max_epochs=settings.epochs,
        accelerator=settings.accelerator,
        devices=1,
        precision=settings.precision,
        callbacks=callbacks,
        logger=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    begun = folder / "last.ckpt"
    module.train()  # Lightning leaves the mode as it is, and a loaded backbone is in evaluation mode
    with warnings.catch_warnings():
        # batches are cut out of memory in one operation: worker processes would only copy them
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        trainer.fit(
            module,
            _loader(train, RandomWindows(train.slack, settings.windows_per_clip, settings.batch_size, seed)),
            _loader(valid, EvenWindows(valid.even(valid.frames), settings.batch_size)),
            ckpt_path=str(begun) if begun.exists() else None,
            weights_only=True,
        )
    chosen = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
    module.load_state_dict(chosen["state_dict"])
    net.cpu().eval()
    return pd.DataFrame(history.rows, columns=list(HISTORY))


def _loader(windows: Windows, sampler: RandomWindows | EvenWindows) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)  # the loader draws from it, and not from the global one
    return DataLoader(windows, sampler=sampler, batch_size=None, generator=generator)


def _class_weights(train: Windows, settings: Training) -> Tensor:
    """Inverse label frequency, mean 1 over the clips; ones where not asked for."""
    counts = torch.bincount(train.targets)
    if not settings.class_weights:
        return torch.ones(len(counts))
    return len(train) / (len(counts) * counts.float())
