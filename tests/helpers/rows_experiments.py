"""Where the leaves of the experiments have their effect."""

from typing import Any

from rows import Row, of
from rows_training import WEIGHTS, steps
from tiny import CNN

LOGREG = {"name": "logreg", "c": 1.0}
OTHER = {"name": "transfer", "backbone": "other", "frozen": True, "hidden": [], "dropout": 0.0}
MOVED = {"gain_db": 6.0, "band_shift": 8.0}
NO_LAYERS = r"shrinkage: .* with hidden \[\]"
NO_DROPOUT = "dropout: nothing is trained"


def model(key: str, values: dict[str, Any], **more: Any) -> list[Row]:
    return of(f"train@{key}", WEIGHTS.format(key), values, f"experiments.{key}.model.", **more)


def named(key: str, other: dict[str, Any], **also: Any) -> Row:
    """Another model, with the keys that it has."""
    above = f"experiments.{key}"
    changes = {f"{above}.model": other, **{f"{above}.{name}": value for name, value in also.items()}}
    return Row(f"{above}.model.name", other["name"], f"train@{key}", WEIGHTS.format(key), also=changes)


def heard(key: str, *kinds: str, shows: str = "history/{}.csv", **given: Any) -> Row:
    """Other features."""
    leaves = {f"experiments.{key}.model.{name}": value for name, value in given.items()}
    return Row(f"experiments.{key}.features", list(kinds), f"train@{key}", shows.format(key), given=leaves)


def of_one_kind(key: str) -> Row:
    return Row(
        f"experiments.{key}.features",
        ["spectrogram"],
        f"train@{key}",
        says=rf"experiments\.{key}\.features: model '{key}' takes one of \['tabular', 'timbre'\]",
    )


def training(key: str, *leaves: str) -> list[Row]:
    return steps(f"experiments.{key}.training", f"train@{key}", WEIGHTS.format(key), *leaves)


TABULAR = [
    *(of_one_kind(key) for key in ("majority", "logreg", "lda", "mlp")),
    named("majority", LOGREG),
    named("logreg", {"name": "majority"}),
    *model("logreg", {"c": 0.01}),
    named("lda", LOGREG),
    *model("lda", {"shrinkage": 0.1}),
    heard("mlp", "timbre"),
    named("mlp", LOGREG),
    *model("mlp", {"hidden": [8, 8], "dropout": 0.1, "activations": ["tanh"], "standardise": False}),
    *training("mlp", "epochs", "learning_rate", "weight_decay", "label_smoothing", "batch_size"),
]
PICTURES = [
    heard("cnn", "wavelet"),
    named("cnn", OTHER),
    *model("cnn", {"arch": "tutorial", "dropout": 0.6}),
    *training("cnn", "learning_rate", "mixup"),
    *of("train@cnn", WEIGHTS.format("cnn"), {**MOVED, "stretch": 0.15}, "experiments.cnn.training.augment."),
    heard("multimodal", "wavelet", "spectrogram"),
    named("multimodal", CNN, features=["spectrogram"]),
    *model("multimodal", {"arch": "tutorial", "dropout": 0.6}),
    *of("train@multimodal", WEIGHTS.format("multimodal"), MOVED, "experiments.multimodal.training.augment."),
    named("fusion", CNN, features=["spectrogram"]),
    *model("fusion", {"branches.image.model.dropout": 0.6}),
]
TRANSFER = [
    heard("transfer", "wavelet"),
    named("transfer", CNN),
    *model("transfer", {"backbone": "other", "frozen": False, "hidden": [4], "dropout": 0.6}),
    *model("transfer", {"upsample": 2.0, "feature_maps": "every block"}),
    *model(
        "transfer",
        {"shrinkage": 0.9},
        given={"experiments.transfer.model.hidden": [], "experiments.transfer.model.dropout": 0.0},
    ),
    *model("transfer", {"unfreeze_from": "encoder.stages.1"}, given={"experiments.transfer.model.frozen": False}),
    *model(
        "transfer",
        {"wise_ft_alpha": 0.5},
        given={
            f"experiments.transfer.model.{leaf}": value
            for leaf, value in {"frozen": False, "hidden": [], "shrinkage": 0.5}.items()
        },
    ),
    heard("transfer-musicnn", "spectrogram", shows=WEIGHTS, backbone="other"),
    named("transfer-musicnn", CNN),
    *model("transfer-musicnn", {"backbone": ["musicnn_mtt"], "shrinkage": 0.1}),
    *model(
        "transfer-musicnn",
        {"frozen": False},
        # musicnn is a large network to tune
        given={
            "experiments.transfer-musicnn.model.backbone": "other",
            "experiments.transfer-musicnn.training.ensemble_size": 1,
        },
    ),
    *of(
        "train@transfer-musicnn",
        WEIGHTS.format("transfer-musicnn"),
        {"ensemble_size": 1},
        "experiments.transfer-musicnn.training.",
    ),
    Row(
        "experiments.zero-shot.features",
        ["spectrogram"],
        "train@zero-shot",
        says=r"weights.musicnn_msd takes windows of 96 bands, not \(32,\)",
    ),
    named("zero-shot", CNN),
    *model("zero-shot", {"backbone": "musicnn_mtt", "tags": {"jazz": ["quiet"], "rock": ["loud"]}}),
    *(
        Row("experiments.zero-shot.model.tags", value, "train@zero-shot", says=said)
        for value, said in (
            ({"jaz": ["loud"]}, r"there is no label 'jaz' \(did you mean 'jazz'\?\)"),
            ({"jazz": ["lout"]}, r"there is no tag 'lout' \(did you mean 'loud'\?\)"),
            ({}, "no label of the data is a tag of the network"),
        )
    ),
    *model("sound", {"layers": "all", "over_time": "mean and std", "shrinkage": 0.5}),
    *model("text", {"prompt": ["{label}"]}),
    *of(
        "train@sound",
        WEIGHTS.format("sound"),
        {"layer_decay": 0.1},
        "experiments.sound.training.",
        given={"experiments.sound.model.frozen": False},
    ),
    heard("transfer-ast", "spectrogram", shows=WEIGHTS, backbone="other"),
    named("transfer-ast", CNN),
    *model("transfer-ast", {"backbone": "other", "frozen": False, "shrinkage": 0.1}),
    *(
        Row(f"experiments.{key}.model.{leaf}", value, f"train@{key}", says=said)
        for key in ("transfer-musicnn", "transfer-ast")
        for leaf, value, said in (("hidden", [8], NO_LAYERS), ("dropout", 0.5, NO_DROPOUT))
    ),
]
