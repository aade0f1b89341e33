"""params.yaml: what is right is read, and whatever is wrong is named with its key."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import modify_yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline import config
from pipeline.config.base import ParamsError
from pipeline.config.load import parse
from pipeline.config.project import Params

FILE = Path(__file__).parents[1] / "params.yaml"
DEFAULTS: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
Place = tuple[str, ...]


def changed(place: Place, value: object) -> dict[str, Any]:
    """The default params with ``value`` at ``place``."""
    tree = copy.deepcopy(DEFAULTS)
    section = tree
    for key in place[:-1]:
        section = section[key]
    section[place[-1]] = value
    return tree


def without(place: Place) -> dict[str, Any]:
    tree = copy.deepcopy(DEFAULTS)
    section = tree
    for key in place[:-1]:
        section = section[key]
    del section[place[-1]]
    return tree


def places(section: dict[str, Any], above: Place = ()) -> list[Place]:
    """Where the params have a value or a section."""
    found = [(*above, key) for key in section]
    inner = [
        place for key, value in section.items() if isinstance(value, dict) for place in places(value, (*above, key))
    ]
    return found + inner


def complaint(raw: object) -> str:
    with pytest.raises(ParamsError) as caught:
        parse(raw)
    return str(caught.value)


def test_the_default_file_is_right() -> None:
    read = config.load(FILE)
    assert set(read.experiments) == set(DEFAULTS["experiments"])
    assert read.features.sample_rate == DEFAULTS["features"]["sample_rate"]


@pytest.mark.parametrize(
    ("place", "meant"),
    [
        (("sead",), "seed"),
        (("split", "vallid"), "valid"),
        (("data", "starter", "second"), "seconds"),
        (("features", "wavelets"), "wavelet"),
        (("features", "wavelet", "omega"), "omega0"),
        (("weights", "mobilenet_v2", "sourcee"), "source"),
        (("experiments", "mlp", "featurs"), "features"),
        (("experiments", "mlp", "model", "hiden"), "hidden"),
        (("experiments", "transfer", "model", "frosen"), "frozen"),
        (("experiments", "mlp", "training", "epoch"), "epochs"),
        (("training", "augment", "time_mask"), "time_masks"),
    ],
)
def test_an_unknown_key_is_named_with_the_one_meant(place: Place, meant: str) -> None:
    message = complaint(changed(place, 1))
    assert place[-1] in message
    assert f"did you mean '{meant}'?" in message


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("seed",), "7"),
        (("seed",), -1),
        (("seed",), 2**32),
        (("data", "source"), "gtzam"),
        (("split", "test"), 1.5),
        (("features", "sample_rate"), 22050.5),
        (("features", "wavelet", "fmin"), float("nan")),
        (("window", "frames"), 0),
        (("window", "frames"), True),
        (("experiments", "mlp", "model", "dropout"), 1.0),
        (("experiments", "cnn", "model", "arch"), "resnet"),
        (("training", "mixup"), -0.1),
        (("training", "augment", "stretch"), 1.0),
        (("experiments", "cnn", "training"), [1]),
        (("experiments", "cnn", "features"), []),
    ],
)
def test_a_wrong_value_is_named_with_its_key(place: Place, value: object) -> None:
    message = complaint(changed(place, value))
    assert place[-1] in message
    assert repr(value) in message


NEW = {
    ("features", "waveform"),
    ("window", "waveform"),
    *(("training", key) for key in ("devices", "nodes", "strategy")),
}
"""A params.yaml from before they were there goes on."""
REQUIRED = [p for p in places(DEFAULTS) if p[0] not in ("experiments", "weights", "sweeps") and p not in NEW]


@pytest.mark.parametrize("place", REQUIRED)
def test_no_key_can_be_left_out(place: Place) -> None:
    message = complaint(without(place))
    assert f"{place[-1]}: Field required" in message


@pytest.mark.parametrize(("key", "value"), [("unfreeze_from", "layer.3"), ("wise_ft_alpha", 0.3)])
def test_what_is_frozen_is_not_tuned(key: str, value: object) -> None:
    message = complaint(changed(("experiments", "transfer", "model", key), value))
    assert "experiments.transfer.model" in message
    assert f"{key}: a frozen backbone is not trained at all: set frozen to false" in message


SOUND = {"source": "path", "path": "hub/sound"}
TUNED = {"name": "transfer", "backbone": "sound", "frozen": False}


@pytest.mark.parametrize(
    ("model", "training", "said"),
    [
        ({"frozen": True, "lora": {"rank": 8}}, {}, "lora: a frozen backbone is not trained at all"),
        ({"lora": {"rank": 8}, "shrinkage": 0.5}, {}, "lora: the adapters are all that is trained"),
        ({}, {"mixup": 0.2}, r"training.mixup and training.augment are of spectrograms"),
        ({}, {"augment": {"gain_db": 3.0}}, r"training.mixup and training.augment are of spectrograms"),
    ],
)
def test_what_does_not_go_together_for_raw_sound_is_said(model: Any, training: Any, said: str) -> None:
    block = {"features": ["waveform"], "model": {**TUNED, **model}, "training": training}
    content = changed(("features", "waveform"), {})
    assert said in complaint({**content, "weights": {"sound": SOUND}, "experiments": {"sound": block}})


def test_a_backbone_that_goes_back_needs_another_head() -> None:
    model = {"name": "transfer", "backbone": "mobilenet_v2", "frozen": False, "wise_ft_alpha": 0.3}
    message = complaint(changed(("experiments", "transfer", "model"), model))
    assert "experiments.transfer.model" in message
    assert "wise_ft_alpha: the head is fitted anew to such weights: give shrinkage" in message


@pytest.mark.parametrize(
    ("place", "named"),
    [
        (("experiments", "mlp", "model"), "experiments.mlp.model: Field required"),
        (("experiments", "mlp", "model", "name"), "experiments.mlp.model"),
        (("experiments", "mlp", "model", "dropout"), "experiments.mlp.model.dropout: Field required"),
    ],
)
def test_a_missing_model_key_is_named(place: Place, named: str) -> None:
    assert named in complaint(without(place))


def test_every_problem_is_named_at_once() -> None:
    raw = changed(("seed",), "x")
    raw["window"]["frames"] = 0
    message = complaint(raw)
    assert "2 problem(s)" in message
    assert "seed" in message
    assert "window.frames" in message


def test_a_backbone_needs_weights() -> None:
    message = complaint(changed(("experiments", "transfer", "model", "backbone"), "mobilenet_v3"))
    assert "experiments.transfer.model.backbone" in message
    assert "did you mean 'mobilenet_v2'?" in message


@pytest.mark.parametrize(
    ("key", "features"),
    [
        ("majority", ["spectrogram"]),
        ("logreg", ["tabular", "wavelet"]),
        ("mlp", ["spectrogram"]),
        ("cnn", ["tabular"]),
        ("cnn", ["spectrogram", "wavelet"]),
        ("transfer", ["tabular"]),
        ("multimodal", ["spectrogram"]),
        ("multimodal", ["spectrogram", "spectrogram"]),
        ("multimodal", ["tabular", "spectrogram"]),
    ],
)
def test_a_model_refuses_features_that_it_cannot_see(key: str, features: list[str]) -> None:
    message = complaint(changed(("experiments", key, "features"), features))
    assert f"experiments.{key}.features: model '{key}' takes" in message
    assert str(features) in message


@pytest.mark.parametrize(
    "change", [{"bands": 400}, {"fmin": 12_000.0}, {"bands_per_octave": 1}, {"bands": 2**31 - 1, "bands_per_octave": 1}]
)
def test_wavelet_bands_above_nyquist_are_refused(change: dict[str, Any]) -> None:
    wavelet = {**DEFAULTS["features"]["wavelet"], **change}
    message = complaint(changed(("features", "wavelet"), wavelet))
    assert "above half the sample rate (11025 Hz)" in message


def test_spectrogram_and_wavelet_share_their_frames() -> None:
    assert "must agree" in complaint(changed(("features", "wavelet", "hop_length"), 256))


def test_valid_and_test_leave_something_to_train_on() -> None:
    assert "nothing would be left" in complaint(changed(("split", "valid"), 0.75))
    raw = changed(("split", "test_folds"), 5)
    assert parse(raw).split.test_folds == 5
    raw["split"]["valid"] = 0.8
    assert "nothing would be left" in complaint(raw)


@pytest.mark.parametrize("protocol", ["tutorial", "filtered"])
def test_published_splits_have_one_test_part(protocol: str) -> None:
    raw = changed(("split", "protocol"), protocol)
    raw["split"]["folds"] = 5
    assert parse(raw).split.folds == 5, "of the clips outside test"
    raw["split"]["test_folds"] = 5
    assert "are published: set test_folds to 1" in complaint(raw)


def test_leaks_are_experiments() -> None:
    refusal = complaint(changed(("leak",), ["logreg", "gru"]))
    assert "leak: 'gru' is not among the experiments" in refusal
    raw = changed(("leak",), [])
    raw["experiments"]["leak"] = raw["experiments"]["logreg"]
    assert "'leak' is taken" in complaint(raw)


def swept(key: str, space: dict[str, Any]) -> dict[str, Any]:
    return changed(("sweeps",), {key: {"trials": 5, "space": space}})


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("model.hiden", {"choices": [[8], [16]]}, "hiden: unknown key (did you mean 'hidden'?)"),
        ("model.hidden.0", {"low": 8, "high": 16}, "model.hidden.0: there is nothing below 'hidden'"),
        ("trainin.epochs", {"low": 8, "high": 16}, "trainin: unknown key (did you mean 'training'?)"),
        ("model.dropout", {"low": 0.0, "high": 1.0}, "model.dropout = 1.0 has 1 problem(s)"),
        ("model.hidden", {"choices": [[512, 512], [0]]}, "model.hidden = [0] has 1 problem(s)"),
        ("training.batch_size", {"low": 8.0, "high": 64.0}, "training.batch_size = 8.0 has 1 problem(s)"),
        ("training.patience", {"choices": [9, None]}, "patience needs something to monitor"),
        ("model.dropout", {"low": 0.6}, "sweeps.mlp.space.model.dropout: give low and high, or choices"),
        ("model.dropout", {"low": 0.6, "high": 0.5}, "high must be above low"),
        ("model.dropout", {"low": 0, "high": 0.5, "log": True}, "log needs a range above 0"),
        ("model.dropout", {"choices": [0.5]}, "sweeps.mlp.space.model.dropout.choices"),
        ("model.dropout", {"choices": [0.5, 0.5]}, "sweeps.mlp.space.model.dropout: choices: each only once"),
        ("model.dropout", {"lowest": 0.0, "high": 0.5}, "lowest: unknown key"),
        ("features", {"choices": [["tabular"], ["image"]]}, "there is no 'image'"),
    ],
)
def test_what_a_sweep_cannot_try_is_named(name: str, values: dict[str, Any], message: str) -> None:
    refusal = complaint(swept("mlp", {name: values}))
    assert message in refusal
    assert name.split(".")[-1] in refusal


def test_values_of_a_sweep_that_cannot_stand_together_are_named() -> None:
    space = {"training.patience": {"choices": [None, 9]}, "training.monitor": {"choices": ["valid_loss", None]}}
    raw = swept("mlp", space)
    raw["experiments"]["mlp"]["training"] = {"patience": None, "monitor": "valid_loss"}
    refusal = complaint(raw)
    assert "training.patience = 9, training.monitor = None" in refusal
    assert "patience needs something to monitor" in refusal


def test_a_sweep_is_of_an_experiment_and_a_backbone_of_the_weights() -> None:
    assert "sweeps: 'mpl' is not among the experiments" in complaint(
        swept("mpl", {"model.dropout": {"low": 0.0, "high": 0.5}})
    )
    choices = {"choices": ["mobilenet_v2", "mobilenet_v3"]}
    assert "'mobilenet_v3' is not among the weights" in complaint(swept("transfer", {"model.backbone": choices}))
    assert parse(without(("sweeps",))).sweeps == {}


def test_a_sweeps_storage_is_no_experiment_but_a_url() -> None:
    raw = changed(("sweeps", "storage"), "postgresql://me@host/soundtrack")
    assert parse(raw).storage == "postgresql://me@host/soundtrack"
    assert set(parse(raw).sweeps) == set(DEFAULTS["sweeps"])
    assert parse(DEFAULTS).storage is None
    for value in ("somewhere", 7, {"trials": 5}):
        assert "sweeps.storage" in complaint(changed(("sweeps", "storage"), value))


def test_a_batch_has_a_window_for_each_process() -> None:
    raw = changed(("training", "devices"), 8)
    raw["training"] |= {"nodes": 2, "batch_size": 15}
    assert "batch_size must be at least devices x nodes" in complaint(raw)
    raw["training"]["batch_size"] = 16
    assert parse(raw).experiments["cnn"].training.processes == 16


def test_an_experiment_inherits_training_down_to_augment() -> None:
    raw = changed(("experiments", "cnn", "training"), {"epochs": 3, "augment": {"time_masks": 2}})
    raw["training"]["augment"]["gain_db"] = 1.5
    own = parse(raw).experiments["cnn"].training
    assert (own.epochs, own.augment.time_masks) == (3, 2)
    assert own.augment.gain_db == 1.5
    assert own.batch_size == DEFAULTS["training"]["batch_size"]
    others = parse(raw).experiments["multimodal"].training
    assert (others.epochs, others.augment.time_masks) == (DEFAULTS["training"]["epochs"], 0)


@pytest.mark.parametrize("empty", [None, {}])
def test_an_empty_training_block_is_all_defaults(empty: object) -> None:
    read = parse(changed(("experiments", "cnn", "training"), empty))
    assert read.experiments["cnn"].training == read.experiments["transfer"].training


def test_what_dvc_writes_is_read(tmp_path: Path) -> None:
    """``dvc exp run -S training.learning_rate=0.00001`` leaves 1e-05, which YAML 1.1 takes for a text."""
    file = tmp_path / "params.yaml"
    file.write_bytes(FILE.read_bytes())
    with modify_yaml(str(file)) as tree:
        tree["training"]["learning_rate"] = 0.00001
    assert "1e-05" in file.read_text()
    assert config.load(file).experiments["cnn"].training.learning_rate == 0.00001


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\xfa", b"a: 1\na: 2\n"])
def test_a_file_that_is_no_yaml_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "params.yaml"
    file.write_bytes(content)
    with pytest.raises(ParamsError, match=r"params\.yaml is not readable"):
        config.load(file)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="run from the checkout's top folder"):
        config.load(tmp_path / "params.yaml")


def test_an_unknown_experiment_is_named_with_the_one_meant(settings: Params) -> None:
    with pytest.raises(ParamsError, match="did you mean 'multimodal'"):
        config.find_block("experiments", settings.experiments, "multimodel")


KEYS = st.text(max_size=8) | st.integers()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def parses_or_complains(raw: object) -> None:
    try:
        assert isinstance(parse(raw), Params)
    except ParamsError as error:
        assert "problem(s):\n" in str(error)


@hypothesis_settings(max_examples=30)
@given(VALUES)
def test_anything_else_is_refused_in_words(raw: object) -> None:
    parses_or_complains(raw)


@hypothesis_settings(max_examples=100)
@given(st.sampled_from(places(DEFAULTS)), VALUES | st.integers(-(10**400), 10**400))
def test_anything_in_place_of_a_value_is_refused_in_words(place: Place, value: object) -> None:
    parses_or_complains(changed(place, value))
    parses_or_complains(changed((*place[:-1], "extra"), value))


MUSICNN = {
    "features": ["musicnn"],
    "model": {"name": "transfer", "backbone": "mobilenet_v2", "frozen": True, "hidden": [], "dropout": 0.0},
}
LOGREG = {"features": ["tabular"], "model": {"name": "logreg", "c": 1.0}}
FUSION = {
    "features": ["musicnn", "tabular"],
    "model": {"name": "fusion", "branches": {"music": MUSICNN, "table": LOGREG}},
}


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        (("experiments", "new"), MUSICNN, "experiments.new.features"),
        (("experiments", "new"), FUSION, "experiments.new.features"),
        (
            ("sweeps",),
            {"cnn": {"trials": 5, "space": {"features": {"choices": [["spectrogram"], ["musicnn"]]}}}},
            "sweeps.cnn.space: features = ['musicnn'].features",
        ),
    ],
    ids=["an experiment", "a branch", "a sweep"],
)
def test_who_uses_a_feature_that_is_off_is_asked_to_turn_it_on(place: Place, value: dict[str, Any], named: str) -> None:
    raw = changed(place, value)
    assert f"{named}: 'musicnn' is off; to turn it on, set features.musicnn to {{}}" in complaint(raw)
    raw["features"]["musicnn"] = {}
    assert "musicnn" in parse(raw).features.kinds


def test_a_feature_without_choices_has_no_keys() -> None:
    message = complaint(changed(("features", "musicnn"), {"bands": 96}))
    assert "features.musicnn.bands: unknown key; allowed here: none" in message


def unmarked(text: str, *blocks: str) -> str:
    """The file with the marks taken away before these blocks."""
    lines, taken = [], False
    for line in text.splitlines():
        opens = re.match(r"  # ([\w-]+):", line)
        taken = opens[1] in blocks if opens else taken and line.startswith("  #   ")
        lines.append(line.replace("# ", "", 1) if taken else line)
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("kind", "blocks"),
    [("musicnn", ["musicnn_msd", "musicnn_mtt", "transfer-musicnn"]), ("fbank", ["ast", "transfer-ast"])],
)
def test_what_stands_in_the_file_as_a_comment_is_right(kind: str, blocks: list[str]) -> None:
    raw = yaml.safe_load(unmarked(FILE.read_text(encoding="utf-8"), *blocks))
    assert {*blocks} <= {*raw["weights"], *raw["experiments"]}
    assert f"set features.{kind} to {{}}" in complaint(raw)
    raw["features"][kind] = {}
    parse(raw)


def test_each_hidden_layer_has_an_activation() -> None:
    message = complaint(changed(("experiments", "mlp", "model", "activations"), ["relu"]))
    assert "activations: 2 hidden layers need as many" in message


@pytest.mark.parametrize(
    ("place", "value", "new"),
    [
        (("champion", "familiar"), 0.95, "champion.in_distribution"),
        (("training", "members"), 4, "training.ensemble_size"),
        (("experiments", "mlp", "training", "members"), 4, "training.ensemble_size"),
        (("experiments", "transfer", "model", "tuned_share"), 0.7, "model.wise_ft_alpha"),
        (("experiments", "transfer", "model", "tuned_from"), "layer.3", "model.unfreeze_from"),
        (("experiments", "transfer", "model", "maps"), "last", "model.feature_maps"),
        (("experiments", "transfer", "model", "zoom"), 2.0, "model.upsample"),
    ],
)
def test_a_renamed_key_is_named_with_the_new_one(place: Place, value: object, new: str) -> None:
    assert f"{place[-1]}: renamed to {new}" in complaint(changed(place, value))


@pytest.mark.parametrize(("key", "message"), [("tutorial", "is now in tutorial/params.yaml"), ("medium", "remove it")])
def test_a_section_that_moved_is_named_with_its_place(key: str, message: str) -> None:
    refusal = complaint(changed((key,), {}))
    assert f"{key}: " in refusal
    assert message in refusal


def test_a_feature_that_does_not_exist_is_named_with_the_one_meant() -> None:
    message = complaint(changed(("experiments", "cnn", "features"), ["spectogram"]))
    assert "experiments.cnn.features: there is no 'spectogram'" in message
    assert "did you mean 'spectrogram'?" in message


@pytest.mark.parametrize(
    ("place", "old", "new"),
    [
        (("training",), "members", "ensemble_size"),
        (("experiments", "mlp", "training"), "members", "ensemble_size"),
        (("experiments", "transfer", "model"), "zoom", "upsample"),
        (("experiments", "transfer", "model"), "maps", "feature_maps"),
        (("experiments", "transfer", "model"), "tuned_from", "unfreeze_from"),
        (("experiments", "transfer", "model"), "tuned_share", "wise_ft_alpha"),
    ],
)
def test_a_key_of_an_earlier_version_is_refused_with_its_new_name(place: Place, old: str, new: str) -> None:
    assert f"{old}: renamed to {place[-1]}.{new}" in complaint(changed((*place, old), 1))
