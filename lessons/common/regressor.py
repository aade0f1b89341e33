"""The LightningModule for regression: a network with one output, trained on squared errors."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.config.training import Training
from pipeline.training.module import Batch, Learner


class Regressor(Learner):
    """Logs the mean squared error as loss, and its root, which has the targets' unit.

    Training errors are means over an epoch, while the weights change and dropout is on.
    """

    logged = ("train_loss", "train_rmse", "valid_loss", "valid_rmse")

    def __init__(self, net: nn.Module, settings: Training, seed: int) -> None:
        super().__init__(net, settings, seed)
        self.errors = {"train": torch.zeros(2), "valid": torch.zeros(2)}
        """By part: the sum of squared errors over the windows of this epoch, and the number of windows."""

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.errors = {part: torch.zeros(2, device=self.device) for part in self.errors}

    def training_step(self, batch: Batch) -> Tensor:
        return self._loss(batch, "train")

    def validation_step(self, batch: Batch) -> None:
        self._loss(batch, "valid")

    def on_validation_epoch_end(self) -> None:
        for part, (total, count) in self.errors.items():
            self.log_dict({f"{part}_loss": total / count, f"{part}_rmse": (total / count).sqrt()}, prog_bar=True)

    def _loss(self, batch: Batch, part: str) -> Tensor:
        loss = functional.mse_loss(self.net(*batch.inputs).squeeze(dim=1), batch.targets)
        count = len(batch.targets)
        self.errors[part] += torch.stack([loss.detach() * count, loss.new_tensor(count)])
        return loss
