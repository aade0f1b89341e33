"""Where the leaves about training, models and windows have their effect."""

from typing import Any

from rows import Row, of
from tiny import CNN, FRAMES

WEIGHTS = "models/{}/*/model.onnx"
MASKS = {"time_masks": 1, "time_width": 8, "band_masks": 1, "band_width": 8}
LONGER: dict[str, Any] = {"epochs": 6, "learning_rate": 0.1}
"""So many that the score falls again."""


def masked(section: str) -> list[Row]:
    """A mask needs a width, and a width a mask."""
    pairs = (("time_masks", "time_width"), ("band_masks", "band_width"))
    return [
        Row(
            f"{section}.augment.{leaf}",
            MASKS[leaf] if leaf.endswith("width") else 2,
            "train@cnn",
            WEIGHTS.format("cnn"),
            given={f"{section}.augment.{name}": MASKS[name] for name in pair if name != leaf},
        )
        for pair in pairs
        for leaf in pair
    ]


DEFAULTS = [
    *of(
        "train@cnn",
        WEIGHTS.format("cnn"),
        {
            "epochs": 3,
            "batch_size": 16,
            "windows_per_clip": 2,
            "optimizer": "adam",
            "learning_rate": 0.01,
            "weight_decay": 1.0,
            "schedule": "constant",
            "label_smoothing": 0.3,
            "class_weights": False,
            "augment.gain_db": 6.0,
            "precision": "bf16-mixed",
            "members": 2,
            "mixup": 0.4,
        },
        above="training.",
    ),
    *masked("training"),
    Row(
        "training.patience",
        1,
        "train@cnn",
        "history/cnn.csv",
        given={
            "training.monitor": "valid_loss",
            **{f"training.{key}": value for key, value in LONGER.items()},
        },
    ),
    Row(
        "training.monitor",
        "valid_loss",
        "train@cnn",
        WEIGHTS.format("cnn"),
        given={f"training.{key}": value for key, value in LONGER.items()},
    ),
]
"""Of all experiments."""

SEEDS = [
    Row("seed", 8, "split", "data/split.parquet"),
    Row("seed", 8, "train@cnn", WEIGHTS.format("cnn")),
    Row("seeds", [1, 2], "train@logreg", WEIGHTS.format("logreg")),
    Row("split.protocol", "random", "split", "data/split.parquet"),
    Row("split.folds", 3, "split", "data/split.parquet"),
    Row("split.valid", 0.2, "split", "data/split.parquet"),
    Row("split.test", 0.4, "split", "data/split.parquet"),
]

WINDOWS = [
    Row("window.frames", 64, "train@cnn", WEIGHTS.format("cnn")),
    Row("window.musicnn", 64, "train@musicnn", WEIGHTS.format("musicnn")),
    Row("window.fbank", 32, "train@fbank", WEIGHTS.format("fbank"), given={}),
]
