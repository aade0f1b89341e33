"""CLAP gives the embeddings and logits that transformers gives with its own model, feature extractor and text."""

from pathlib import Path

import clips
import numpy as np
import pytest
import torch
from networks import make_clap, make_sound
from pydantic import ValidationError
from tokenizers import Tokenizer
from transformers import ClapFeatureExtractor, ClapModel

from pipeline.config.base import ParamsError
from pipeline.config.models import PathWeights, Transfer, ZeroShot
from pipeline.models import Input, Rows, backbones, zero_shot
from pipeline.models.exported import Exported, export
from pipeline.models.pretrained import WeightsError
from pipeline.models.pretrained.fetch import fetch

RATE = 16_000
SETTINGS = Transfer(name="transfer", backbone="clap", frozen=True)
NO_ROWS = Rows(np.zeros((1, 16), np.float32), np.zeros(1), np.zeros(1))
TEXTS = ["a rock song", "a jazz song", "music for dancing, in the style of the seventies"]


def heard(length: int = RATE) -> list[clips.Array]:
    """One that fits into a second several times, one once and a half, and one that fills it."""
    return [clip[:most] for clip, most in zip(clips.three(RATE), (4000, 11_000, length), strict=True)]


def source(length: int = RATE) -> Input:
    return Input((1, length), np.zeros(1, np.float32), np.ones(1, np.float32), -2.0, RATE)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_clap(tmp_path / "hub")
    fetch("clap", PathWeights(source="path", path="hub"), tmp_path / "weights" / "clap")
    return tmp_path / "weights" / "clap"


@pytest.mark.parametrize(
    ("fusion", "padding"), [(False, "repeatpad"), (True, "repeatpad"), (False, "repeat"), (False, "pad")]
)
def test_embeddings_are_those_of_transformers(tmp_path: Path, fusion: bool, padding: str) -> None:
    """Of three clips of different length, together and each alone; and ONNX Runtime's are the same."""
    make_clap(tmp_path / "clap", fusion, padding)
    network = ClapModel.from_pretrained(tmp_path / "clap").eval()
    extractor = ClapFeatureExtractor.from_pretrained(tmp_path / "clap")
    backbone = backbones.build(tmp_path / "clap", source(), SETTINGS).eval()
    for sounds in [heard(), *([one] for one in heard())]:
        given = extractor(sounds, sampling_rate=RATE, return_tensors="pt")
        with torch.inference_mode():
            # theirs calls one at random longer than it is
            longer = torch.zeros(len(sounds), 1, dtype=torch.bool)
            expected = network.get_audio_features(given["input_features"], is_longer=longer).pooler_output
            found = backbone(torch.from_numpy(clips.window(sounds, RATE)))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    windows = clips.window(heard(), RATE)
    export(backbone, [torch.zeros(2, 1, RATE)], ["window"], ["embedding"], tmp_path / "graph.onnx")
    embeddings = Exported(tmp_path / "graph.onnx", 1)([windows])
    assert embeddings.std(axis=0).mean() > 0.003, "the clips differ"
    with torch.inference_mode():
        np.testing.assert_allclose(embeddings, backbone(torch.from_numpy(windows)), rtol=0, atol=1e-5)


def test_labels_are_named_by_text_as_transformers_does(weights: Path) -> None:
    network = ClapModel.from_pretrained(weights).eval()
    given = ClapFeatureExtractor.from_pretrained(weights)(heard(), sampling_rate=RATE, return_tensors="pt")
    tokenizer = Tokenizer.from_file(str(weights / "tokenizer.json"))
    tokenizer.enable_padding(pad_id=1)
    tokens = tokenizer.encode_batch(TEXTS)
    ids, mask = (torch.tensor([getattr(one, name) for one in tokens]) for name in ("ids", "attention_mask"))
    with torch.inference_mode():
        expected = network(input_ids=ids, attention_mask=mask, **given)
        embeddings = backbones.build(weights, source(), SETTINGS).eval()(torch.from_numpy(clips.window(heard(), RATE)))
        logits = backbones.named(weights, [[text] for text in TEXTS])(embeddings)
        torch.testing.assert_close(logits, expected.logits_per_audio, rtol=0, atol=1e-4)
        # several prompts: the mean of what is of length 1, which is then made so again
        joined = expected.text_embeds[:2].mean(dim=0)
        scale = network.logit_scale_a.exp() / joined.norm()
        own = backbones.named(weights, [TEXTS[:2], TEXTS[2:]])(embeddings)
        torch.testing.assert_close(own[:, 0], expected.audio_embeds @ joined * scale, rtol=0, atol=1e-4)
        torch.testing.assert_close(own[:, 1], logits[:, 2])


def test_a_prompt_makes_a_label_out_of_any_word(weights: Path) -> None:
    settings = ZeroShot(name="zero-shot", backbone="clap", prompt=["a {label} song", "{label}"])
    head = zero_shot.fit_head(settings, NO_ROWS, ["hip_hop", "polka"])
    expected = backbones.named(weights, [["a hip hop song", "hip hop"], ["a polka song", "polka"]])
    values = torch.randn(3, 16)
    torch.testing.assert_close(head(values), expected(values))


@pytest.mark.usefixtures("weights")
def test_what_does_not_fit_is_said(weights: Path, tmp_path: Path) -> None:
    def fitted(**more: object) -> object:
        settings = ZeroShot.model_validate({"name": "zero-shot", "backbone": "clap", **more})
        return zero_shot.fit_head(settings, NO_ROWS, ["rock"])

    with pytest.raises(ParamsError, match=r"weights\.clap gives no tags: give it a prompt"):
        fitted()
    make_sound(tmp_path / "weights" / "wav2vec2", "wav2vec2")
    with pytest.raises(ParamsError, match=r"model\.prompt: weights\.wav2vec2 knows no text: only CLAP does"):
        fitted(backbone="wav2vec2", prompt="{label}")
    with pytest.raises(ValidationError, match=r"prompt: 'a song' has no \{label\}"):
        fitted(prompt="a song")
    with pytest.raises(ValidationError, match="tags: they are of networks without text"):
        fitted(prompt="{label}", tags={"rock": ["rock"]})
    with pytest.raises(ParamsError, match=r"window\.waveform: weights\.clap hears at most 16000 samples"):
        backbones.build(weights, source(RATE + 1), SETTINGS)
    with pytest.raises(ParamsError, match=r"model\.layers: weights\.clap is not a network of raw sound that gives"):
        backbones.build(weights, source(), SETTINGS.model_copy(update={"layers": "all"}))
    (weights / "tokenizer.json").unlink()
    with pytest.raises(WeightsError, match=r"tokenizer\.json is not here, without which no text is read"):
        fitted(prompt="{label}")
