"""Section `training`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Fraction, Positive, Section


class Augment(Section):
    """A shift in pitch, a stretch in time, a gain, and SpecAugment's masks (Park et al. 2019, arXiv:1904.08779)."""

    time_masks: Annotated[int, Field(ge=0)]
    time_width: Annotated[int, Field(ge=0)]
    """Widest mask in frames."""
    band_masks: Annotated[int, Field(ge=0)]
    band_width: Annotated[int, Field(ge=0)]
    """Widest mask in bands."""
    gain_db: Annotated[float, Field(ge=0)]
    """A window's level is moved by up to this much, up or down."""
    band_shift: Annotated[float, Field(ge=0)] = 0.0
    """A window is moved by up to this many bands, up or down, and a part of a band too."""
    stretch: Fraction = 0.0
    """A window is stretched or squeezed in time by up to this share of its length."""


class Training(Section):
    epochs: Positive
    batch_size: Positive
    ensemble_size: Positive = 1
    """Ensemble size k: train is re-split into k folds, and model i trains on all but fold i."""
    windows_per_clip: Positive
    """Windows drawn at random from each clip and epoch."""
    optimizer: Literal["adam", "adamw"]
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The learning rate of a backbone's layer is this times that of the layer above it (Clark et al. 2020,
    arXiv:2003.10555); the head has ``learning_rate``."""
    schedule: Literal["constant", "cosine"]
    label_smoothing: Fraction
    patience: Annotated[int, Field(ge=1)] | None
    """Epochs without a better ``monitor`` before training stops; null trains all epochs."""
    monitor: Literal["valid_macro_f1", "valid_loss"] | None
    """What early stopping and the best checkpoint go by, on an inner part of train; null keeps the last epoch."""
    class_weights: bool
    """Weight the loss by inverse label frequency (has no effect on balanced data)."""
    augment: Augment
    mixup: Annotated[float, Field(ge=0)] = 0.0
    """Windows and their labels are mixed in pairs, by a share drawn from Beta(mixup, mixup) (Zhang et al. 2018,
    arXiv:1710.09412); 0 mixes none."""
    threads: Positive
    accelerator: Literal["auto", "cpu", "cuda", "gpu", "mps"]
    """``pipeline/training/hardware.py`` chooses where this or ``precision`` is auto."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
    devices: Positive = 1
    """Processes on each machine, of a GPU each, or of ``threads`` of the CPU; a batch is shared between them."""
    nodes: Positive = 1
    """Machines, which are those of a job of SLURM where there are several."""
    strategy: Literal["auto", "ddp"] = "auto"
    """``ddp`` trains in processes of their own even if there is but one."""
    channels_last: bool
    """Whether images lie in memory with their channels last, which makes convolutions up to twice as fast."""

    @model_validator(mode="after")
    def _patience_has_something_to_watch(self) -> Self:
        if self.patience is not None and self.monitor is None:
            raise ValueError("patience needs something to monitor: name it, or set patience to null")
        return self

    @property
    def processes(self) -> int:
        return self.devices * self.nodes

    @property
    def distributed(self) -> bool:
        return self.strategy == "ddp" or self.processes > 1

    @model_validator(mode="after")
    def _a_window_for_each_process(self) -> Self:
        if self.batch_size < self.processes:
            raise ValueError("batch_size must be at least devices x nodes: each process takes a part of a batch")
        return self
