"""Where the leaves about seeds, splits, windows and training have their effect."""

from typing import Any

from rows import Row, of

WEIGHTS = "models/{}/*/model.onnx"
MASKS = (("time_masks", "time_width"), ("band_masks", "band_width"))


def under(section: str, values: dict[str, Any]) -> dict[str, Any]:
    return {f"{section}.{leaf}": value for leaf, value in values.items()}


def masked(section: str, stage: str, shows: str) -> list[Row]:
    """A mask needs a width, and a width a mask."""
    return [
        Row(f"{section}.augment.{leaf}", 4, stage, shows, given={f"{section}.augment.{other}": 4})
        for pair in MASKS
        for leaf, other in (pair, pair[::-1])
    ]


def stopped(section: str, stage: str, history: str, weights: str) -> list[Row]:
    """Patience and monitor show where the last epoch is not the best, so after long and fast training."""
    longer = under(section, {"epochs": 10, "learning_rate": 0.05})
    watched = {**longer, f"{section}.monitor": "valid_loss"}
    return [
        Row(f"{section}.patience", 1, stage, history, given=watched),
        Row(f"{section}.monitor", "valid_loss", stage, weights, given=longer),
    ]


STEP = {
    "epochs": 3,
    "batch_size": 16,
    "windows_per_clip": 2,
    "optimizer": "adamw",
    "learning_rate": 0.02,
    "weight_decay": 1.5,
    "schedule": "constant",
    "label_smoothing": 0.3,
    "mixup": 0.4,
}
"""Other values of what each step and its number depend on."""


def steps(section: str, stage: str, shows: str, *leaves: str) -> list[Row]:
    return of(stage, shows, {leaf: STEP[leaf] for leaf in leaves}, above=f"{section}.")


CNN = WEIGHTS.format("cnn")
DEFAULTS = [
    *of(
        "train@cnn",
        CNN,
        {**STEP, "optimizer": "adam", "class_weights": False, "precision": "bf16-mixed", "ensemble_size": 2},
        above="training.",
    ),
    *of("train@cnn", CNN, {"gain_db": 6.0, "band_shift": 8.0, "stretch": 0.2}, above="training.augment."),
    *masked("training", "train@cnn", CNN),
    *stopped("training", "train@cnn", "history/cnn.csv", CNN),
]
"""Of all experiments."""
CHOICE = [
    Row("split.folds", 3, "split", "data/split.parquet:fold"),
    Row("split.test_folds", 3, "split", "data/split.parquet:test_fold"),
    Row("seed", 8, "split", "data/split.parquet:part"),
    Row("seed", 8, "train@cnn", CNN),
    Row("seeds", [1, 2], "train@logreg", WEIGHTS.format("logreg")),
    *of("split", "data/split.parquet:part", {"protocol": "random", "valid": 0.2, "test": 0.4}, "split."),
    Row("window.frames", 64, "train@cnn", CNN),
    Row("window.frames", 64, "inputs", "embeddings/transfer/*array.bin"),
    Row("window.musicnn", 64, "train@musicnn", WEIGHTS.format("musicnn")),
    Row("window.fbank", 32, "train@fbank", WEIGHTS.format("fbank")),
    Row("window.waveform", 1500, "train@sound", WEIGHTS.format("sound")),
]
LORA = "experiments.sound.model.lora"
GUARDED = {
    "training.threads": "sums of so few numbers need not differ with it",
    "training.accelerator": "another one is not on every machine",
    "training.devices": "several processes share a batch, and leave the same but for rounding",
    "training.nodes": "the same, in a job of SLURM",
    "training.strategy": "the same, in a process of its own",
    "sweeps.storage": "trials are elsewhere, and the same",
    "training.channels_last": "the same numbers lie elsewhere in memory",
    "experiments.sound.model.gradient_checkpointing": "the same gradients",
    **dict.fromkeys((LORA, *(f"{LORA}.{leaf}" for leaf in ("rank", "alpha", "dropout"))), "by an optional package"),
}
"""Leaves that need not show in what a stage leaves, and why; tests of their own are in tests/effects/test_machine.py,
tests/models/test_hf_audio.py and tests/cluster."""
