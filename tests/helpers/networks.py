"""Tiny networks with random weights, in place of pre-trained ones."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    AutoConfig,
    AutoModel,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    ResNetConfig,
    ResNetModel,
    Wav2Vec2FeatureExtractor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

from pipeline.models.backbones.musicnn import Musicnn

FRAMES = 64
"""Of a window that the transformer below hears: 0.65 s."""


def make_ast(folder: Path) -> None:
    """An Audio Spectrogram Transformer as on the Hub: under the tensors' old names, with a classifier and a scale."""
    torch.manual_seed(7)
    network = ASTForAudioClassification(
        ASTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, max_length=FRAMES)
    )
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.3)  # as they come, positions are zeros and all windows much alike
    network.save_pretrained(folder)
    ASTFeatureExtractor(max_length=FRAMES, mean=-6.0, std=3.5).save_pretrained(folder)


def make_resnet(folder: Path, seed: int) -> None:
    """A network for pictures that is exported in a tenth of the time that the narrowest MobileNetV2 takes."""
    torch.manual_seed(seed)
    ResNetModel(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ).save_pretrained(folder)


def make_musicnn(folder: Path, seed: int) -> None:
    """Untrained, with two tags."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "musicnn", "tags": ["loud", "quiet"]}))
    save_file(Musicnn(2).state_dict(), folder / "model.safetensors")


SOUND = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
"""A network of raw sound with three layers, that hears 50 frames a second at 16 kHz."""


def make_sound(folder: Path, kind: str, masks: bool = False, rate: int = 16_000, **settings: Any) -> None:
    """A transformer of raw sound as on the Hub, under this ``model_type``.

    Args:
        masks: as the networks whose convolutions have layer norms, which know what is padded.
    """
    torch.manual_seed(7)
    own = SOUND | ({"feat_extract_norm": "layer", "do_stable_layer_norm": True} if masks else {}) | settings
    if kind == "data2vec-audio":
        own["conv_pos_kernel_size"] = 3
    network = AutoModel.from_config(AutoConfig.for_model("hubert" if kind == "mert_model" else kind, **own))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)  # as they come, all sounds are much alike
    network.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(sampling_rate=rate, return_attention_mask=masks).save_pretrained(folder)
    if kind == "mert_model":
        config = json.loads((folder / "config.json").read_text())
        code = {"AutoConfig": "configuration_MERT.MERTConfig", "AutoModel": "modeling_MERT.MERTModel"}
        mert = {"model_type": kind, "auto_map": code, "feature_extractor_cqt": False, "deepnorm": False}
        (folder / "config.json").write_text(json.dumps({**config, **mert}))


def make_whisper(folder: Path) -> None:
    """With a decoder, which is left out, and for windows of 2 s."""
    torch.manual_seed(7)
    narrow = {"d_model": 32, "encoder_layers": 3, "decoder_layers": 1, "encoder_attention_heads": 4}
    wide = {"encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "decoder_attention_heads": 4, "vocab_size": 60}
    special = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1)
    WhisperModel(WhisperConfig(max_source_positions=100, **narrow, **wide, **special)).save_pretrained(folder)
    WhisperFeatureExtractor(chunk_length=2).save_pretrained(folder)


def make_clap(folder: Path, fusion: bool = False, padding: str = "repeatpad") -> None:
    """For windows of 1 s at 16 kHz, with a vocabulary of bytes."""
    torch.manual_seed(7)
    audio = {
        "patch_embeds_hidden_size": 8,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "window_size": 2,
        "spec_size": 64,
        "num_mel_bins": 16,
        "hidden_size": 16,
        "enable_fusion": fusion,
        "projection_dim": 16,
    }
    text = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "vocab_size": 300,
        "max_position_embeddings": 80,
        "projection_dim": 16,
    }
    network = ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=16))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(6)  # as they come, all sounds and all texts are much alike
        network.audio_model.audio_encoder.batch_norm.running_mean.fill_(-40)  # dB
        network.audio_model.audio_encoder.batch_norm.running_var.fill_(40)
    network.save_pretrained(folder)
    ClapFeatureExtractor(
        feature_size=16,
        sampling_rate=16_000,
        hop_length=160,
        fft_window_size=512,
        max_length_s=1,
        frequency_min=50,
        frequency_max=7000,
        truncation="fusion" if fusion else "rand_trunc",
        padding=padding,
    ).save_pretrained(folder)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: number for number, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(words, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer.save(str(folder / "tokenizer.json"))
