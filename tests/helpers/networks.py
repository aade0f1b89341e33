"""Tiny networks with random weights, in place of pre-trained ones."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification, ResNetConfig, ResNetModel

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
