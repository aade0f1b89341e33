"""Zero-shot: what a pre-trained network already calls the labels. Nothing is learned from labels.

With ``prompt``, a network that shares a space with text is asked how near each label's sentences are (CLAP). Else:

A label's score is the greatest logit of its tags, each less its mean over the training clips: a tag that the network gives
to everything says little. (Divided by their standard deviations as well, they are right less often: docs/tagger.md.)
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.base import paths
from pipeline.base.text import spelling
from pipeline.config import genres
from pipeline.config.base import ParamsError, did_you_mean
from pipeline.config.models import ZeroShot as Settings
from pipeline.models import Input, Rows, backbones, transfer

NEVER = -1e4
"""Logit of a label without a tag."""


class TagScores(nn.Module):
    """Embeddings (B, width) to the scores (B, labels) of the labels with these tags, by number."""

    index: Tensor

    def __init__(self, tags: nn.Linear, labels: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.tags = tags
        most, never = max(map(len, labels)), tags.out_features
        rows = [[*own, *[own[0] if own else never] * (most - len(own))] for own in labels]
        self.register_buffer("index", torch.tensor(rows))

    def forward(self, embeddings: Tensor) -> Tensor:
        return self.scores(self.tags(embeddings))

    def scores(self, logits: Tensor) -> Tensor:
        with_never = torch.cat([logits, torch.full_like(logits[:, :1], NEVER)], dim=1)
        return with_never[:, self.index].amax(dim=2)


class Tagger(nn.Module):
    """Windows to the logits of genres and the probabilities of tags side by side, (B, genres + tags)."""

    means: Tensor
    columns: Tensor

    def __init__(
        self,
        nets: Sequence[nn.Module],
        tags: nn.Linear,
        means: Tensor,
        genres: Sequence[Sequence[int]],
        columns: Tensor,
    ) -> None:
        """``means`` of the tags' logits over music; ``genres``: the tags of each, by number; ``columns``: tags to give."""
        super().__init__()
        self.nets, self.genres = nn.ModuleList(nets), TagScores(tags, genres)
        self.register_buffer("means", means)
        self.register_buffer("columns", columns)

    def forward(self, window: Tensor) -> Tensor:
        logits = self.genres.tags(torch.cat([net(window) for net in self.nets], dim=1))
        return torch.cat([self.genres.scores(logits - self.means), logits[:, self.columns].sigmoid()], dim=1)


def build(settings: Settings, inputs: list[Input], classes: int) -> nn.Module:
    """The frozen backbones, and no head yet."""
    (source,) = inputs
    return transfer.Transfer(transfer.load_backbones(settings.transfer, source), nn.Linear(1, classes), frozen=True)


def fit_head(settings: Settings, train: Rows, labels: Sequence[str]) -> nn.Module:
    """Of the training clips, only the means of the tags' logits count, and with prompts nothing.

    Raises:
        ParamsError: a backbone gives no tags or knows no text, or no label has a tag.
    """
    if settings.prompts:
        return _named(settings, labels)
    names, layer = tag_layer([paths.WEIGHTS / name for name in settings.backbones])
    with torch.no_grad():
        layer.bias.sub_(layer(torch.from_numpy(train.values)).mean(dim=0))
    found = tags_of(labels, names, settings.tags)
    return TagScores(layer, [[names.index(tag) for tag in own] for own in found.values()])


def _named(settings: Settings, labels: Sequence[str]) -> nn.Linear:
    """The mean of the logits that each backbone gives the labels' sentences."""
    texts = [[prompt.replace("{label}", label.replace("_", " ")) for prompt in settings.prompts] for label in labels]
    each = [backbones.named(paths.WEIGHTS / name, texts) for name in settings.backbones]
    joined = nn.Linear(sum(layer.in_features for layer in each), len(labels))
    with torch.no_grad():
        joined.weight.copy_(torch.cat([layer.weight for layer in each], dim=1) / len(each))
        joined.bias.zero_()
    return joined.requires_grad_(False)


def tag_layer(weights: Sequence[Path]) -> tuple[list[str], nn.Linear]:
    """Names of all tags, and the layer from the embeddings of these networks, side by side, to the tags' logits."""
    each = [backbones.tagger(folder) for folder in weights]
    layers = [layer for _, layer in each]
    joined = nn.Linear(sum(one.in_features for one in layers), sum(one.out_features for one in layers))
    with torch.no_grad():
        joined.weight.copy_(torch.block_diag(*(one.weight for one in layers)))  # type: ignore[no-untyped-call]
        joined.bias.copy_(torch.cat([one.bias for one in layers]))
    return [tag for tags, _ in each for tag in tags], joined.requires_grad_(False)


def tags_of(labels: Sequence[str], tags: Sequence[str], given: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The tags of each label: those given, else those in genres.yaml, else the tag of the label's name; perhaps none.

    Raises:
        ParamsError: a given label or tag is unknown, or no label has a tag.
    """
    for label, own in given.items():
        _check("label", label, labels)
        for tag in own:
            _check("tag", tag, tags)
    known = {spelling(genre): own for genre, own in genres.load().genres.items()}
    by_name = {spelling(tag): [tag] for tag in reversed(tags)}
    found = {}
    for label in labels:
        listed = [tag for tag in known.get(spelling(label), []) if tag in tags]
        found[label] = list(given.get(label, [])) or listed or by_name.get(spelling(label), [])
    if not any(found.values()):
        raise ParamsError(f"model.tags: no label of the data is a tag of the network: name tags of {', '.join(labels)}")
    return found


def _check(what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise ParamsError(f"model.tags: there is no {what} {name!r}{did_you_mean(name, list(known))}")
