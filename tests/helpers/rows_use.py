"""Where the leaves of the tutorial and of sweeps have their effect."""

from typing import Any

from leaves import changed
from rows import TRIED, Params, Row, of
from rows_training import STEP, masked, steps, stopped
from tiny import CNN, default

CURVES = "tutorial/results/{}/history.csv"
ANSWERS = "tutorial/results/{}/predictions.parquet"
ABOVE = "tutorial.experiments"


def theirs(key: str, values: dict[str, Any]) -> list[Row]:
    return of(f"tutorial@{key}", CURVES.format(key), values, f"{ABOVE}.{key}.model.")


def their_name(key: str, other: dict[str, Any], **also: Any) -> Row:
    changes = {f"{ABOVE}.{key}.model": other, **{f"{ABOVE}.{key}.{name}": value for name, value in also.items()}}
    return Row(f"{ABOVE}.{key}.model.name", other["name"], f"tutorial@{key}", CURVES.format(key), also=changes)


def their_features(key: str, *kinds: str) -> Row:
    return Row(f"{ABOVE}.{key}.features", list(kinds), f"tutorial@{key}", CURVES.format(key))


STEPS = [leaf for leaf in STEP if leaf not in ("batch_size", "windows_per_clip", "schedule", "optimizer")]
SHOWN = ("tutorial.training", "tutorial@cnn", CURVES.format("cnn"))
TUTORIAL = [
    *steps(*SHOWN, *STEPS),
    Row("tutorial.training.optimizer", "adamw", *SHOWN[1:], given={"tutorial.training.weight_decay": 1.5}),
    Row("tutorial.training.schedule", "cosine", *SHOWN[1:]),
    Row("tutorial.training.class_weights", True, *SHOWN[1:]),
    Row("tutorial.training.augment.gain_db", 6.0, *SHOWN[1:]),
    Row("tutorial.training.ensemble_size", 2, "tutorial@cnn", says="leave out shrinkage, fusion and ensemble_size"),
    *masked(*SHOWN),
    *stopped(*SHOWN, ANSWERS.format("cnn")),
    their_features("cnn", "wavelet"),
    their_features("transfer", "wavelet"),
    their_features("multimodal", "wavelet", "spectrogram"),
    their_name("cnn", {"name": "multimodal", "dropout": 0.4}, features=["spectrogram", "wavelet"]),
    their_name("transfer", CNN),
    their_name("multimodal", CNN, features=["spectrogram"]),
    *theirs("cnn", {"arch": "compact", "dropout": 0.1}),
    *theirs("transfer", {"backbone": "other", "frozen": False, "hidden": [4], "dropout": 0.1}),
    *theirs("multimodal", {"arch": "compact", "dropout": 0.1}),
]


HERE = {
    "sweeps.mlp.space.model.hidden.choices": [[8], [4], [6], [2]],
    **{f"sweeps.{key}.trials": 3 for key in ("logreg", "mlp", "cnn", "transfer")},
}
"""For what the tiny models have to be among what is tried."""
SWEPT: Params = changed(default(), HERE)["sweeps"]
PRESENT = {
    "experiments.mlp.training.batch_size": 16,
    "experiments.mlp.training.label_smoothing": 0.1,
    "experiments.transfer.model": default()["experiments"]["transfer"]["model"],
}


def other(leaf: str, value: Any) -> Any:
    """Another value of what a space says of a key, with which what the experiment has is still in it."""
    if leaf == "choices":
        return value[::-1]
    return {"low": value * 2 or 0.05, "high": value * 0.9, "log": not value}[leaf]


def given(key: str) -> Params:
    """One sweep alone, since each takes long to check."""
    return {**PRESENT, "sweeps": {key: SWEPT[key]}}


SWEEPS = [
    row
    for key, sweep in SWEPT.items()
    for row in [
        Row(f"sweeps.{key}.trials", 2, f"sweep {key}", TRIED, given=given(key)),
        *(
            Row(f"sweeps.{key}.space.{name}.{leaf}", other(leaf, value), f"sweep {key}", TRIED, given=given(key))
            for name, values in sweep["space"].items()
            for leaf, value in values.items()
        ),
    ]
]
