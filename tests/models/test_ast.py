"""The Audio Spectrogram Transformer gets the input that transformers gives it, and is trained and exported like others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import FRAMES, make_ast
from safetensors.torch import load_file, save_file
from stores import write_store
from torch import nn
from transformers import ASTFeatureExtractor, ASTForAudioClassification, ASTModel

from pipeline.base.errors import UserError
from pipeline.config.base import ParamsError
from pipeline.config.features import Fbank
from pipeline.config.models import PathWeights, Transfer
from pipeline.config.training import Training
from pipeline.features import fbank
from pipeline.features.sound import Sound
from pipeline.features.store import Store
from pipeline.models import Input, Rows, transfer
from pipeline.models.backbones import load
from pipeline.models.backbones.audio_spectrogram_transformer import AudioBackbone, Preprocessor, read_preprocessor
from pipeline.models.pretrained import WeightsError
from pipeline.models.pretrained.fetch import fetch
from pipeline.training.dataset import Feature, Windows
from pipeline.training.embeddings import EVAL_SPACING, embed
from pipeline.training.trainer import Batches

pytestmark = [
    pytest.mark.usefixtures("weights"),
    pytest.mark.filterwarnings("ignore:At least one mel filter:UserWarning"),
]
Array = np.ndarray[Any, np.dtype[np.float32]]
RATE = 16_000
WHOLE = 400 + (FRAMES - 1) * 160
"""Samples of a clip as long as the window."""
SETTINGS = Transfer(name="transfer", backbone="ast", frozen=True, hidden=[], dropout=0.0)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    folder = tmp_path_factory.mktemp("hub") / "ast"
    make_ast(folder)
    return folder


@pytest.fixture
def weights(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Brought into a working folder."""
    monkeypatch.chdir(tmp_path)
    fetch("ast", PathWeights(source="path", path=str(origin)), tmp_path / "weights" / "ast")
    return tmp_path / "weights" / "ast"


def clips() -> dict[str, Array]:
    """One shorter than the window, with silence in it, one as long, one longer."""
    rng = np.random.default_rng(7)
    signals = {
        name: rng.normal(0, 0.1, length).astype(np.float32)
        for name, length in {"short": WHOLE // 2, "whole": WHOLE, "long": 2 * WHOLE}.items()
    }
    signals["short"][1000:3000] = 0
    return signals


def windows(folder: Path) -> Windows:
    """As from a store of these clips."""
    found = [fbank.compute(Sound(signal, RATE), Fbank()) for signal in clips().values()]
    write_store(folder, list(clips()), found, "float16", fbank.describe(Fbank()))
    return Windows([Feature.stored(Store(folder), list(clips()), FRAMES)], np.array([0, 0, 1]))


def backbone() -> AudioBackbone:
    net = transfer.build(SETTINGS, [image()], 2)
    assert isinstance(net, transfer.Transfer)
    (found,) = net.backbones
    assert isinstance(found, AudioBackbone)
    return found


def image(bands: int = 128, frames: int = FRAMES) -> Input:
    return Input((bands, frames), np.zeros(bands, np.float32), np.ones(bands, np.float32), fbank.SILENCE_DB)


def test_an_embedding_is_that_of_transformers_own_input(origin: Path, tmp_path: Path) -> None:
    reference, extractor = (ASTModel.from_pretrained(origin).eval(), ASTFeatureExtractor.from_pretrained(origin))
    given = extractor(list(clips().values()), sampling_rate=RATE, return_tensors="pt")["input_values"]
    own = windows(tmp_path / "store")
    first = np.stack([np.arange(3), np.zeros(3, np.int64)], axis=1)
    with torch.no_grad():
        expected = reference(given).pooler_output
        found = backbone()(torch.from_numpy(own[first].inputs[0]))
    assert expected.std(dim=0).mean() > 0.1, "the clips differ"
    torch.testing.assert_close(found, expected, rtol=0, atol=0.01)


def test_the_classifier_is_left_out_and_names_may_be_old_or_new(origin: Path, weights: Path) -> None:
    bare = ASTForAudioClassification.from_pretrained(origin).eval().audio_spectrogram_transformer
    old, new = load_file(weights / "model.safetensors"), bare.state_dict()
    assert "classifier.dense.weight" in old
    assert not {name.removeprefix("audio_spectrogram_transformer.") for name in old} >= new.keys()
    with torch.no_grad():
        values = torch.randn(2, FRAMES, 128)
        expected = bare(values).pooler_output
        torch.testing.assert_close(load(weights)(values).pooler_output, expected)
        save_file(new, weights / "model.safetensors")
        torch.testing.assert_close(load(weights)(values).pooler_output, expected)
    del new["layernorm.bias"]
    save_file({**new, "layers.7.extra": torch.zeros(1)}, weights / "model.safetensors")
    with pytest.raises(WeightsError, match=r"layernorm\.bias is missing; layers\.7\.extra is not in the model"):
        load(weights)


def test_a_frozen_one_is_embedded_once_and_gets_a_discriminant(
    tmp_path: Path, training: Callable[..., Training]
) -> None:
    """On the CPU through ONNX Runtime, in batches of several sizes."""
    net = transfer.build(SETTINGS, [image()], 2)
    assert isinstance(net, transfer.Transfer)
    own = windows(tmp_path / "store")
    (embedded,) = embed([own], net.backbones, training(batch_size=4), tmp_path / "kept", [EVAL_SPACING])
    every = embedded[embedded.even(1)]
    assert len(every.inputs[0]) == 5
    with torch.no_grad():
        seen = Batches(own)[own.even(FRAMES)]
        expected = net.backbones[0](*seen.inputs)
    np.testing.assert_allclose(every.inputs[0], expected, rtol=0, atol=1e-4)
    rows = Rows(every.inputs[0], every.targets, np.arange(len(every.targets)))
    net.head = transfer.fit_head(
        Transfer(name="transfer", backbone="ast", frozen=True, shrinkage=0.5), rows, ["a", "b"]
    )
    with torch.no_grad():
        assert (net.eval()(*seen.inputs).argmax(dim=1).numpy() == every.targets).all()


def test_a_tuned_one_learns_from_the_module_on_that_is_asked_for() -> None:
    settings = SETTINGS.model_copy(update={"frozen": False, "unfreeze_from": "layers.1"})
    net = transfer.build(settings, [image()], 2).train()
    loss = nn.functional.cross_entropy(net(torch.rand(2, 128, FRAMES) * -60), torch.tensor([0, 1]))
    learning = {name: parameter for name, parameter in net.named_parameters() if parameter.requires_grad}
    early = ("backbones.0.network.embeddings.", "backbones.0.network.layers.0.")
    assert set(learning) == {name for name, _ in net.named_parameters() if not name.startswith(early)}
    torch.autograd.grad(loss, list(learning.values()))  # which raises where one is not reached


def test_members_share_it() -> None:
    members = [transfer.build(SETTINGS, [image()], 2).eval() for _ in range(2)]
    net = transfer.joined(members)
    assert isinstance(net, transfer.Transfer)
    assert len(net.backbones) == 1


@pytest.mark.parametrize("shape", [(128, 2 * FRAMES), (32, FRAMES)])
def test_a_window_of_another_size_is_refused_with_the_right_one(shape: tuple[int, int]) -> None:
    with pytest.raises(
        UserError,
        match=rf"weights\.ast takes windows of 128 bands and {FRAMES} frames.*\[fbank\].*window\.fbank to {FRAMES}",
    ):
        transfer.build(SETTINGS, [image(*shape)], 2)
    with pytest.raises(ParamsError, match=r"model\.upsample: weights\.ast is not an image network"):
        transfer.build(SETTINGS.model_copy(update={"upsample": 2.0}), [image()], 2)


@pytest.mark.parametrize(
    ("content", "scale"),
    [
        ('{"mean": -6.0, "std": 3.5, "feature_size": 1}', (-6.0, 7.0)),
        ('{"do_normalize": false}', (0.0, 1.0)),
        (None, (-4.2677393, 2 * 4.5689974)),
    ],
)
def test_its_scale_is_its_own_or_audiosets(weights: Path, content: str | None, scale: tuple[float, float]) -> None:
    file = weights / "preprocessor_config.json"
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    assert read_preprocessor(weights).scale == scale
    assert (backbone().centre, backbone().spread) == scale


def test_the_scale_of_transformers_is_audiosets() -> None:
    theirs = ASTFeatureExtractor()
    assert Preprocessor().scale == (theirs.mean, 2 * theirs.std)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "Invalid JSON"),
        ('{"std": 0}', "std"),
        ('{"mean": NaN}', "mean"),
        ('{"sampling_rate": 44100}', "sampling_rate"),
        ('{"num_mel_bins": 64}', "num_mel_bins"),
    ],
)
def test_filter_banks_that_are_not_the_feature_are_refused_before_training(
    origin: Path, tmp_path: Path, content: str, named: str
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in origin.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    (other / "preprocessor_config.json").write_text(content)
    with pytest.raises(WeightsError, match=rf"preprocessor_config\.json asks for .*{named}"):
        fetch("other", PathWeights(source="path", path=str(other)), tmp_path / "weights" / "other")
    assert not (tmp_path / "weights" / "other").exists()


@pytest.mark.parametrize("kind", ["bert", "clip_text_model", "speech_to_text"])
def test_an_unsupported_network_is_refused_with_the_supported_ones(weights: Path, kind: str) -> None:
    (weights / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(WeightsError, match=rf"'{kind}', which takes neither .* Spectrogram Transformer, musicnn, CLAP"):
        load(weights)


def test_a_network_with_code_of_its_own_is_refused(weights: Path) -> None:
    own = {"AutoConfig": "configuration_muq.MuQConfig", "AutoModel": "modeling_muq.MuQModel"}
    (weights / "config.json").write_text(json.dumps({"model_type": "muq", "auto_map": own}))
    with pytest.raises(WeightsError, match=r"(?s)Supported are .*code that comes with weights is never run"):
        load(weights)


@pytest.mark.parametrize("key", ["_attn_implementation", "quantization_config"])
def test_no_code_is_taken_from_elsewhere(weights: Path, key: str) -> None:
    config = json.loads((weights / "config.json").read_text())
    (weights / "config.json").write_text(json.dumps({**config, key: "some/kernel"}))
    with pytest.raises(WeightsError, match=f"asks for code from elsewhere: take {key} out of it"):
        load(weights)
