"""The one LightningModule: any module from features to logits, trained as a classifier of clips."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from pipeline.config.base import ParamsError
from pipeline.config.training import Training
from pipeline.evaluation import f1
from pipeline.training import HISTORY
from pipeline.training.augment import augment, mixed

LAYER = re.compile(r"\blayers?\.(\d+)\.")


class Batch(NamedTuple):
    """Windows as a step takes them."""

    inputs: tuple[Tensor, ...]
    targets: Tensor
    clips: Tensor
    """Position of each window's clip among the clips of its part."""


def shared() -> bool:
    """Whether several processes train together."""
    return distributed.is_available() and distributed.is_initialized()


def over_ranks(values: Tensor, how: str = "SUM") -> Tensor:
    """Replace the values by their sums, or maxima, over all processes that train together."""
    if shared():
        distributed.all_reduce(values, getattr(distributed.ReduceOp, how))
    return values


class Learner(pl.LightningModule):
    """What training does whatever the targets are: random numbers by epoch, the optimiser and its schedule."""

    logged: tuple[str, ...]
    """Names of the metrics that each epoch logs."""

    def __init__(self, net: nn.Module, settings: Training, seed: int) -> None:
        super().__init__()
        self.net, self.settings, self.seed = net, settings, seed

    def on_train_epoch_start(self) -> None:
        # dropout and augmentation of an epoch follow from (seed, epoch), whether or not the run was resumed
        torch.manual_seed((self.global_rank << 40) + self.seed * 1_000_003 + self.current_epoch)

    def configure_optimizers(self) -> Any:
        kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
        optimizer = kinds[self.settings.optimizer](
            _groups(self.net, self.settings), lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay
        )
        if self.settings.schedule == "constant":
            return optimizer
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.settings.epochs)]


def _groups(net: nn.Module, settings: Training) -> list[dict[str, Any]]:
    """What is trained, by learning rate: layers are told by the number behind ``layers.`` in their names; what is before the
    first one is below it, and the head above the last one.

    Raises:
        ParamsError: layer_decay, and nothing that is trained has numbered layers.
    """
    trained = [(name, value) for name, value in net.named_parameters() if value.requires_grad]
    if settings.layer_decay == 1:
        return [{"params": [value for _, value in trained]}]
    numbers = [int(found[1]) + 1 if (found := LAYER.search(name)) else 0 for name, _ in trained]
    if not any(numbers):
        raise ParamsError("training.layer_decay: nothing that is trained has numbered layers: leave it out")
    top = max(numbers) + 1
    groups: dict[int, list[nn.Parameter]] = {}
    for number, (name, value) in zip(numbers, trained, strict=True):
        groups.setdefault(top if name.startswith("head.") else number, []).append(value)
    return [
        {"params": values, "lr": settings.learning_rate * settings.layer_decay ** (top - number)}
        for number, values in groups.items()
    ]


class Classifier(Learner):
    """Logs train_loss and train_accuracy over windows; valid_loss, valid_accuracy and valid_macro_f1 over clips.

    A clip's probabilities are the mean over its windows.
    """

    logged = HISTORY[1:]

    def __init__(
        self, net: nn.Module, settings: Training, weights: Tensor, silence_db: Sequence[float], clips: int, seed: int
    ) -> None:
        """
        Args:
            silence_db: silence in each of the inputs.
            clips: of the valid part.
        """
        super().__init__(net, settings, seed)
        self.classes = len(weights)
        self.register_buffer("class_weights", weights, persistent=False)
        self.silence_db, self.valid_clips = silence_db, clips
        self.trained = torch.zeros(3)
        """Loss and hits summed over the windows of this epoch, and their number."""

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.trained = torch.zeros(3, device=self.device)

    def training_step(self, batch: Batch) -> Tensor:
        inputs = tuple(
            augment(values, self.settings.augment, silence)
            for values, silence in zip(batch.inputs, self.silence_db, strict=True)
        )
        inputs, share = mixed(inputs, self.settings.mixup)
        logits = self.net(*inputs)
        loss = self._loss(logits, batch.targets)
        if share < 1:
            loss = share * loss + (1 - share) * self._loss(logits, batch.targets.roll(1))
        part, windows = self._part(batch.targets)
        hits = (logits.detach().argmax(dim=1) == batch.targets).sum()
        self.trained += torch.stack([loss.detach().float() * part * windows, hits, hits.new_tensor(len(logits))])
        return loss * part * distributed.get_world_size() if shared() else loss

    def _part(self, targets: Tensor) -> tuple[Tensor | float, Tensor | int]:
        """What these windows weigh in the loss of the whole batch, and how many windows that has: other processes have the rest."""
        if not shared():
            return 1.0, len(targets)
        own = torch.stack([self.class_weights[targets].sum(), targets.new_tensor(len(targets))])
        every = over_ranks(own.clone())
        return own[0] / every[0], every[1]

    def on_train_batch_end(self, *_: Any) -> None:
        """Logs once an epoch, since logging at each step takes a fifth of a small net's time."""
        if self.trainer.is_last_batch:
            trained = over_ranks(self.trained)
            loss, hits = trained[:2] / trained[2]
            self.log_dict({"train_loss": loss, "train_accuracy": hits}, on_step=False, on_epoch=True)

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(
            logits, targets, weight=self.class_weights, label_smoothing=self.settings.label_smoothing
        )

    def on_validation_epoch_start(self) -> None:
        self.summed = torch.zeros(self.valid_clips, self.classes, device=self.device)
        self.windows = torch.zeros(self.valid_clips, 1, device=self.device)
        self.targets = torch.zeros(self.valid_clips, dtype=torch.long, device=self.device)

    def validation_step(self, batch: Batch) -> None:
        # in 32 bits, as evaluation: an epoch is chosen by the score that is reported
        with torch.autocast(self.device.type, enabled=False):
            probabilities = self.net(*batch.inputs).softmax(dim=1)
        self.summed.index_add_(0, batch.clips, probabilities)
        self.windows.index_add_(0, batch.clips, torch.ones_like(probabilities[:, :1]))
        self.targets[batch.clips] = batch.targets

    def on_validation_epoch_end(self) -> None:
        over_ranks(self.targets, "MAX")
        probabilities = over_ranks(self.summed) / over_ranks(self.windows)
        loss = functional.nll_loss(probabilities.clamp_min(1e-7).log(), self.targets)
        predicted = probabilities.argmax(dim=1)
        self.log("valid_accuracy", (predicted == self.targets).float().mean())
        numbers = f1.counts(self.targets.cpu().numpy(), predicted.cpu().numpy(), self.classes)
        shown = {"valid_loss": loss, "valid_macro_f1": float(f1.macro_f1(numbers))}
        self.log_dict(shown, prog_bar=True)
