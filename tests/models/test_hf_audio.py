"""Networks of raw sound give the hidden states that transformers gives with its own model and feature extractor."""

import json
import math
from pathlib import Path
from typing import Any

import clips
import numpy as np
import pytest
import torch
from networks import make_sound, make_whisper
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForCTC,
    AutoModelForPreTraining,
    HubertModel,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperModel,
)

from pipeline.config.base import ParamsError
from pipeline.config.models import Lora, PathWeights, Transfer
from pipeline.models import Input, backbones, transfer
from pipeline.models.backbones.hf_audio import SoundBackbone
from pipeline.models.exported import Exported, export
from pipeline.models.pretrained import WeightsError
from pipeline.models.pretrained.fetch import fetch
from pipeline.training.embeddings import _fingerprint
from pipeline.training.module import _groups

KINDS = ["wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat", "mert_model", "whisper"]
SETTINGS = Transfer(name="transfer", backbone="sound", frozen=True, layers="all", over_time="mean and std")
RATE = 16_000


def made(folder: Path, kind: str, **more: Any) -> Path:
    if kind == "whisper":
        make_whisper(folder)
    else:
        make_sound(folder, kind, rate=24_000 if kind == "mert_model" else RATE, **more)
    return folder


def source(length: int = 2 * RATE, rate: int = RATE) -> Input:
    return Input((1, length), np.zeros(1, np.float32), np.ones(1, np.float32), -2.0, rate)


def built(folder: Path, rate: int = RATE, **changes: Any) -> SoundBackbone:
    found = backbones.build(folder, source(2 * rate, rate), SETTINGS.model_copy(update=changes)).eval()
    assert isinstance(found, SoundBackbone)
    return found


def theirs(folder: Path, kind: str, sounds: list[Any], rate: int) -> tuple[Tensor, ...]:
    """By transformers alone."""
    if kind == "whisper":
        network, extractor = (
            WhisperModel.from_pretrained(folder).encoder,
            WhisperFeatureExtractor.from_pretrained(folder),
        )
        given = extractor(sounds, sampling_rate=rate, return_tensors="pt")
    else:
        network = (HubertModel if kind == "mert_model" else AutoModel).from_pretrained(folder)
        given = Wav2Vec2FeatureExtractor.from_pretrained(folder)(
            sounds, sampling_rate=rate, return_tensors="pt", padding=True
        )
    with torch.inference_mode():
        found: tuple[Tensor, ...] = network.eval()(**given, output_hidden_states=True).hidden_states
    return found


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_hidden_states_are_those_of_transformers(tmp_path: Path, kind: str, masks: bool) -> None:
    """Of three clips of different length, together and each alone; and ONNX Runtime's are the same."""
    folder, rate = made(tmp_path / "sound", kind, masks=masks), 24_000 if kind == "mert_model" else RATE
    backbone, every = built(folder, rate), clips.three(rate)
    for sounds in [every, *([one] for one in every)]:
        expected = theirs(folder, kind, sounds, rate)
        with torch.inference_mode():
            found, heard = backbone.hidden_states(torch.from_numpy(clips.window(sounds, max(map(len, sounds)))))
        assert len(found) == len(expected) == 4
        for ours, own in zip(found, expected, strict=True):
            # what a network with a mask makes of padding is nobody's business
            seen = heard.bool() if masks else torch.ones_like(heard, dtype=torch.bool)
            torch.testing.assert_close(ours[seen], own[seen], rtol=0, atol=1e-4)
    if not masks and kind != "whisper":
        return  # exported as the other
    windows = clips.window(every, 2 * rate)
    file = tmp_path / "graph.onnx"
    export(backbone, [torch.zeros(2, 1, 2 * rate)], ["window"], ["embedding"], file)
    with torch.inference_mode():
        embeddings = backbone(torch.from_numpy(windows)).numpy()
    assert embeddings.shape == (3, 4 * 2 * 32)
    assert embeddings.std(axis=0).mean() > 0.01, "the clips differ"
    np.testing.assert_allclose(Exported(file, 1)([windows]), embeddings, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["wav2vec2", "whisper"])
def test_padding_has_no_part_in_the_embedding(tmp_path: Path, kind: str) -> None:
    """Of a network that knows what is padded; Whisper hears the padding as silence, but its frames do not count."""
    backbone, (short, *_) = built(made(tmp_path / "sound", kind, masks=True)), clips.three(RATE)
    with torch.inference_mode():
        found = [backbone(torch.from_numpy(clips.window([short], length))) for length in (len(short), 2 * RATE)]
    torch.testing.assert_close(*found, rtol=0, atol=1e-3)


def test_layers_are_those_that_are_asked_for(tmp_path: Path) -> None:
    folder = made(tmp_path / "sound", "wav2vec2")
    heard = torch.from_numpy(clips.window(clips.three(RATE), 2 * RATE))
    with torch.inference_mode():
        every = built(folder)(heard).view(3, 4, 64)
        torch.testing.assert_close(built(folder, layers="last")(heard), every[:, 3])
        torch.testing.assert_close(built(folder, layers=[2, 1])(heard).view(3, 2, 64), every[:, [2, 1]])
        torch.testing.assert_close(built(folder, over_time="mean")(heard).view(3, 4, 32), every[:, :, :32])
        torch.testing.assert_close(built(folder, shrinkage=0.5)(heard), every.mean(dim=1))
    with pytest.raises(ParamsError, match=r"model\.layers: the network has hidden states 0 to 3, not 6"):
        built(folder, layers=[3, 6])


def test_embeddings_of_other_layers_and_of_another_preprocessor_are_others(tmp_path: Path) -> None:
    """Else one would be read from the cache in place of the other."""
    folder = made(tmp_path / "sound", "wav2vec2")
    whisper = made(tmp_path / "whisper", "whisper")
    keys = [_fingerprint(built(folder, layers=[number])) for number in (1, 1, 2)]
    keys += [_fingerprint(built(folder, layers=[1], over_time="mean")), _fingerprint(built(whisper))]
    extractor = json.loads((whisper / "preprocessor_config.json").read_text())
    (whisper / "preprocessor_config.json").write_text(json.dumps({**extractor, "dither": 0.0, "n_fft": 512}))
    keys.append(_fingerprint(built(whisper)))
    assert keys[0] == keys[1]
    assert len(set(keys)) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_checkpoints_with_a_head_and_of_pretraining_are_read(tmp_path: Path, kind: str) -> None:
    bare = made(tmp_path / "bare", kind)
    (own, *_) = clips.three(24_000)
    for number, auto in enumerate([AutoModelForPreTraining, AutoModelForCTC]):
        headed = tmp_path / str(number)
        if kind == "whisper":
            auto = WhisperForConditionalGeneration
        (bare / "config.json").write_text((bare / "config.json").read_text().replace("mert_model", "hubert"))
        try:
            auto.from_pretrained(bare).save_pretrained(headed)
        except ValueError:  # not every one has a network of pre-training
            continue
        (headed / "preprocessor_config.json").write_bytes((bare / "preprocessor_config.json").read_bytes())
        rate = 24_000 if kind == "mert_model" else RATE
        heard = torch.from_numpy(clips.window([own], 2 * rate))
        with torch.inference_mode():
            torch.testing.assert_close(built(headed, rate)(heard), built(bare, rate)(heard))


@pytest.mark.parametrize("key", ["feature_extractor_cqt", "deepnorm"])
def test_a_mert_that_is_no_hubert_is_refused(tmp_path: Path, key: str) -> None:
    folder = made(tmp_path / "sound", "mert_model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: True}))
    with pytest.raises(WeightsError, match=rf"has {key}: such a MERT .* MERT-v1-95M"):
        fetch("mert", PathWeights(source="path", path=str(folder)), tmp_path / "weights" / "mert")


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    folder = made(tmp_path / "sound", "wav2vec2")
    with pytest.raises(ParamsError, match=r"hears sound at 16000 Hz, and features\.waveform has 24000 Hz: set .*16000"):
        built(folder, 24_000)
    spectrogram = Input((128, 64), np.zeros(128, np.float32), np.ones(128, np.float32), -80.0)
    with pytest.raises(ParamsError, match=r"hears raw sound: give the experiment `features: \[waveform\]`"):
        backbones.build(folder, spectrogram, SETTINGS)
    with pytest.raises(ParamsError, match=r"model\.upsample: weights\.sound is not an image network"):
        built(folder, upsample=2.0)
    whisper = made(tmp_path / "whisper", "whisper")
    with pytest.raises(ParamsError, match=r"window\.waveform: weights\.whisper hears at most 32000 samples"):
        backbones.build(whisper, source(3 * RATE), SETTINGS)
    (folder / "preprocessor_config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"preprocessor_config\.json is not usable"):
        fetch("sound", PathWeights(source="path", path=str(folder)), tmp_path / "weights" / "sound")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match=r"preprocessor_config\.json is not here, which says how"):
        fetch("sound", PathWeights(source="path", path=str(folder)), tmp_path / "weights" / "sound")


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    folder = made(tmp_path / "sound", "mert_model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin is not read, since a pickle can run any code"):
        fetch("mert", PathWeights(source="path", path=str(folder)), tmp_path / "weights" / "mert")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return made(tmp_path / "weights" / "sound", "wav2vec2", masks=True)


def tuned(**changes: Any) -> transfer.Transfer:
    torch.manual_seed(3)
    settings = Transfer(name="transfer", backbone="sound", frozen=False, **changes)
    net = transfer.build(settings, [source(RATE)], 2)
    assert isinstance(net, transfer.Transfer)
    return net.train()


def trained(net: nn.Module) -> set[str]:
    return {name for name, value in net.named_parameters() if value.requires_grad}


@pytest.mark.usefixtures("weights")
def test_the_last_layers_alone_are_tuned() -> None:
    net = tuned(unfreeze_from="encoder.layers.2")
    backbone = {name for name in trained(net) if name.startswith("backbones.")}
    assert backbone
    assert all(name.startswith("backbones.0.network.encoder.layers.2.") for name in backbone)
    with pytest.raises(ParamsError, match=r"no module 'encoder\.layers\.7', but .*encoder\.layers\.2"):
        tuned(unfreeze_from="encoder.layers.7")


@pytest.mark.usefixtures("weights")
def test_gradient_checkpointing_changes_no_gradient() -> None:
    heard = torch.from_numpy(clips.window([clip[:RATE] for clip in clips.three(RATE)], RATE))
    found = []
    for checkpointing in (False, True):
        net = tuned(gradient_checkpointing=checkpointing, layers="all")
        torch.manual_seed(5)  # of dropout
        torch.autograd.backward(nn.functional.cross_entropy(net(heard), torch.tensor([0, 1, 0])))
        found.append({name: value.grad for name, value in net.named_parameters() if value.grad is not None})
    assert found[0].keys() == found[1].keys()
    assert len(found[0]) > 20
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("weights")
def test_lower_layers_learn_more_slowly(training: Any) -> None:
    net = tuned()
    groups = _groups(net, training(layer_decay=0.5, learning_rate=0.1))
    rate = {id(value): group["lr"] for group in groups for value in group["params"]}
    named = dict(net.named_parameters())
    assert len(rate) == len(named)
    assert rate[id(named["head.1.weight"])] == 0.1
    layers = "backbones.0.network.encoder.layers"
    assert [rate[id(named[f"{layers}.{number}.attention.q_proj.weight"])] for number in (2, 1, 0)] == [
        0.05,
        0.025,
        0.0125,
    ]
    assert rate[id(named["backbones.0.network.feature_projection.projection.weight"])] == 0.1 / 16
    assert [group.keys() for group in _groups(net, training())] == [{"params"}]
    with pytest.raises(ParamsError, match="layer_decay: nothing that is trained has numbered layers"):
        _groups(net.head, training(layer_decay=0.5))


@pytest.mark.parametrize("kind", ["wav2vec2", "wavlm", "whisper"])
def test_lora_trains_under_a_hundredth_and_changes_the_output(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft", reason="it is an extra: pip install 'soundtrack[lora]'")
    monkeypatch.chdir(tmp_path)
    large = {} if kind == "whisper" else {"hidden_size": 128, "intermediate_size": 512}
    made(tmp_path / "weights" / "sound", kind, **large)
    settings = Transfer(name="transfer", backbone="sound", frozen=False, lora=Lora(rank=1))
    net = transfer.build(settings, [source()], 2)
    assert isinstance(net, transfer.Transfer)
    backbone = net.backbones[0]
    every = sum(value.numel() for value in backbone.parameters())
    adapters = [value for value in backbone.parameters() if value.requires_grad]
    assert kind == "whisper" or 0 < sum(value.numel() for value in adapters) < 0.01 * every
    heard = torch.from_numpy(clips.window(clips.three(RATE), 2 * RATE))
    frozen = backbones.build(tmp_path / "weights" / "sound", source(), settings).eval()
    with torch.no_grad():
        before = net.eval()(heard)
        torch.testing.assert_close(backbone(heard), frozen(heard), msg="adapters begin as nothing")
    other = settings.model_copy(update={"lora": Lora(rank=2, alpha=8.0, dropout=0.1)})
    (adapted,) = transfer.load_backbones(other, source())
    layer: Any = next(module for module in adapted.modules() if hasattr(module, "lora_A"))
    assert (layer.r, layer.scaling, layer.lora_dropout["default"].p) == ({"default": 2}, {"default": 4.0}, 0.1)
    optimizer = torch.optim.Adam(adapters, lr=0.05)
    for _ in range(3):
        loss = nn.functional.cross_entropy(net(heard), torch.tensor([0, 1, 0]))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    assert all(value.grad is not None and math.isfinite(value.grad.abs().sum()) for value in adapters)
    with torch.no_grad():
        after = net.eval()(heard)
    assert (after - before).abs().max() > 1e-3
    export(net, [heard[:2]], ["window"], ["logits"], tmp_path / "graph.onnx")
    np.testing.assert_allclose(Exported(tmp_path / "graph.onnx", 1)([heard.numpy()]), after, rtol=0, atol=1e-3)
