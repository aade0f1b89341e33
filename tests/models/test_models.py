"""Every model gives logits, learns with all its parameters, and is exported as what it was."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from networks import make_musicnn
from safetensors.torch import save_file
from scipy.special import softmax
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from stores import write_store
from torch import Tensor, nn

from pipeline import models
from pipeline.base.errors import UserError
from pipeline.config.base import ParamsError
from pipeline.config.experiment import Experiment
from pipeline.config.models import Cnn, Lda, LogReg, Majority, Mlp, Multimodal, Transfer
from pipeline.config.training import Training
from pipeline.evaluation.temperature import best
from pipeline.features.store import Store
from pipeline.models import Input, Rows, cnn, lda, logreg, majority, multimodal, transfer
from pipeline.models.backbones import image as image_family
from pipeline.models.backbones.image import ImageBackbone
from pipeline.models.exported import Exported, export
from pipeline.models.layers import Ensemble, Standardise
from pipeline.training import no_callback
from pipeline.training.dataset import Feature, Windows
from pipeline.training.embeddings import TRAIN_SPACING, embed
from pipeline.training.single import Probabilities, train_single
from pipeline.training.splits import Splits
from pipeline.training.trainer import Batches, fit

CLASSES = 4


def closed_form(shrinkage: float) -> Transfer:
    return Transfer(name="transfer", backbone="any", frozen=True, shrinkage=shrinkage)


Array = np.ndarray[Any, np.dtype[np.float32]]
Trainings = Callable[..., Training]

MODELS: dict[str, tuple[Any, int]] = {
    "majority": (Majority(name="majority"), 0),
    "logreg": (LogReg(name="logreg", c=1.0), 0),
    "lda": (Lda(name="lda", shrinkage=0.5), 0),
    "mlp": (Mlp(name="mlp", hidden=[16, 8], dropout=0.1), 0),
    "cnn": (Cnn(name="cnn", arch="compact", dropout=0.1), 1),
    "tutorial": (Cnn(name="cnn", arch="tutorial", dropout=0.1), 1),
    "transfer": (Transfer(name="transfer", backbone="resnet", frozen=True, hidden=[8], dropout=0.1), 1),
    "two backbones": (
        Transfer(name="transfer", backbone=["resnet", "smaller"], frozen=True, hidden=[], dropout=0.1),
        1,
    ),
    "every block": (
        Transfer(
            name="transfer", backbone="mobilenet", frozen=False, feature_maps="every block", hidden=[], dropout=0.1
        ),
        1,
    ),
    "multimodal": (Multimodal(name="multimodal", dropout=0.1), 2),
    "multimodal tutorial": (Multimodal(name="multimodal", arch="tutorial", dropout=0.1), 2),
}
"""Settings, and how many images the model sees; with none it sees the table."""


@dataclass(frozen=True)
class Made:
    key: str
    net: nn.Module
    images: int

    def batch(self, size: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(size)
        if not self.images:
            return [torch.randn(size, 6, generator=generator)]
        return [torch.rand(size, 32, 40, generator=generator) * -80 for _ in range(self.images)]


def image(bands: int = 32, frames: int = 40) -> Input:
    rng = np.random.default_rng(bands)
    mean, std = rng.uniform(-60, -20, bands), rng.uniform(5, 15, bands)
    return Input((bands, frames), mean.astype(np.float32), std.astype(np.float32), silence_db=-80.0)


def table(classes: int = CLASSES) -> tuple[Array, Any]:
    """Sixty rows of six columns on very different scales, and targets that depend on them; label 0 is rarest."""
    rng = np.random.default_rng(7)
    targets = np.arange(60) % (classes + 1)
    targets[targets == classes] = classes - 1
    values = rng.normal(targets[:, None], 1.5, (60, 6)) * np.geomspace(0.01, 1e4, 6) + 100
    return values.astype(np.float32), targets


def apart(values: Any, targets: Any) -> Rows:
    """Rows of a group each."""
    return Rows(values, targets, np.arange(len(targets)))


def make(key: str) -> Made:
    settings, images = MODELS[key]
    module = models.load(settings.name)
    torch.manual_seed(7)
    if hasattr(module, "fit"):
        return Made(key, module.fit(settings, apart(*table()), CLASSES, seed=7), images)
    inputs = [image() for _ in range(images)] or [Input((6,), np.zeros(6, np.float32), np.ones(6, np.float32))]
    return Made(key, module.build(settings, inputs, CLASSES), images)


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A working folder with untrained backbones where the weights stand: a narrow MobileNetV2, two short ResNets.

    MobileNetV2's own first weights are so small that its last maps differ by rounding alone.
    """
    from transformers import MobileNetV2Config, MobileNetV2Model, ResNetConfig, ResNetModel

    checkout = tmp_path_factory.mktemp("checkout")
    torch.manual_seed(7)
    mobile = MobileNetV2Config(depth_multiplier=0.1, finegrained_output=False)
    short, smaller = (
        ResNetConfig(embedding_size=8, hidden_sizes=[8, width], depths=[1, 1], layer_type="basic") for width in (16, 12)
    )
    networks = {"mobilenet": MobileNetV2Model(mobile), "resnet": ResNetModel(short), "smaller": ResNetModel(smaller)}
    for module in networks["mobilenet"].modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    for name, network in networks.items():
        folder = checkout / "weights" / name
        folder.mkdir(parents=True)
        network.config.architectures = [type(network).__name__]
        network.config.to_json_file(folder / "config.json")
        save_file(network.state_dict(), folder / "model.safetensors")
    make_musicnn(checkout / "weights" / "musicnn_msd", 7)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(checkout)
        yield


@pytest.fixture(scope="module", params=MODELS)
def made(request: pytest.FixtureRequest, weights: None) -> Made:  # noqa: ARG001
    return make(request.param)


def test_logits_are_one_per_label(made: Made) -> None:
    for size in (2, 3):
        assert made.net.eval()(*made.batch(size)).shape == (size, CLASSES)


def test_gradients_reach_every_trainable_parameter(made: Made) -> None:
    net = made.net.train()
    loss = nn.functional.cross_entropy(net(*made.batch(16)), torch.arange(16) % CLASSES)
    trainable = {name: p for name, p in net.named_parameters() if p.requires_grad}
    if trainable:
        gradients = torch.autograd.grad(loss, list(trainable.values()), allow_unused=True)
        cold = [
            name for name, gradient in zip(trainable, gradients, strict=True) if gradient is None or not gradient.any()
        ]
        assert not cold
    assert bool(trainable) == (made.key != "majority")


def test_the_exported_model_computes_the_same(made: Made, tmp_path: Path) -> None:
    net = made.net.eval()
    names = [f"input {number}" for number in range(len(made.batch(2)))]
    export(Probabilities(net).eval(), made.batch(2), names, ["probabilities"], tmp_path / "model.onnx")
    exported = Exported(tmp_path / "model.onnx", threads=1)
    assert exported.names == names
    assert [output.name for output in exported.session.get_outputs()] == ["probabilities"]
    for size in (1, 5):
        batch = made.batch(size)
        with torch.no_grad():
            expected = net(*batch).softmax(dim=1)
        found = exported([values.numpy() for values in batch])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"], "the weights are in it"


def test_inputs_do_not_mix_within_a_batch(made: Made) -> None:
    """In evaluation a clip's logits are its own, whatever stands beside it."""
    net, batch = made.net.eval(), made.batch(4)
    with torch.no_grad():
        torch.testing.assert_close(net(*batch)[1:2], net(*(values[1:2] for values in batch)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("classes", [2, CLASSES])
def test_logreg_is_scikit_learns(classes: int) -> None:
    values, targets = table(classes)
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    reference = LogisticRegression(C=0.3, max_iter=5000).fit(scaled, targets)
    expected = reference.predict_proba(scaled)
    net = logreg.fit(LogReg(name="logreg", c=0.3), apart(values, targets), classes, seed=7)
    with torch.no_grad():
        found = net(torch.from_numpy(values)).softmax(dim=1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert expected.max(axis=1).std() > 0.05, "rows differ"


@pytest.mark.parametrize("classes", [2, CLASSES])
def test_lda_is_scikit_learns_at_the_temperature_that_suits_other_groups(classes: int) -> None:
    values, targets = table(classes)
    groups = np.arange(len(targets)) // (classes + 1)
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.4).fit(scaled, targets)
    held_out = np.zeros((len(targets), classes))
    for own, others in StratifiedGroupKFold(lda.FOLDS).split(scaled, targets, groups):
        held_out[others] = clone(reference).fit(scaled[own], targets[own]).predict_log_proba(scaled[others])
    net = lda.fit(Lda(name="lda", shrinkage=0.4), Rows(values, targets, groups), classes, seed=7)
    with torch.no_grad():
        found = net(torch.from_numpy(values)).softmax(dim=1)
    t = best(held_out, targets)
    np.testing.assert_allclose(found, softmax(reference.predict_log_proba(scaled) / t, axis=1), rtol=0, atol=1e-3)
    assert abs(t - 1) > 0.05, "the temperature makes a difference"
    assert found.max(dim=1).values.std() > 0.05, "rows differ"


def test_a_label_of_one_group_does_not_keep_a_discriminant_from_its_temperature() -> None:
    rng = np.random.default_rng(7)
    targets = np.arange(120) % 3
    values = (0.1 * targets[:, None] + rng.normal(0, 1, (120, 200))).astype(np.float32)
    groups = np.arange(120) // 6
    joint = np.where(targets == 2, -1, groups)
    (apart_, together) = (lda._temperature(0.01, Rows(values, targets, own), 3) for own in (groups, joint))
    assert apart_ > 5
    assert together > 5


@pytest.mark.parametrize(("columns", "shrinkage"), [(5, 0.0), (5, 0.3), (300, 0.3), (300, 1.0)])
def test_a_discriminant_is_scikit_learns_of_many_columns_and_few(columns: int, shrinkage: float) -> None:
    """Of labels of unequal size, one of which train lacks."""
    rng = np.random.default_rng(7)
    targets = np.repeat([0, 1, 3], [10, 20, 30])
    values = (targets[:, None] + rng.normal(0, 3, (60, columns))).astype(np.float32)
    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(values.astype(np.float64), targets)
    coefficients, intercept = lda.solved(shrinkage, apart(values, targets))
    np.testing.assert_allclose(coefficients, reference.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(intercept, reference.intercept_, rtol=1e-6, atol=1e-9)


def test_columns_that_say_the_same_do_not_make_a_discriminant_sure() -> None:
    """Without their covariance, which shrinkage takes away, a hundred columns count a hundred times."""
    rng = np.random.default_rng(7)
    targets = np.arange(400) % 2
    values = np.repeat(targets[:, None] + rng.normal(0, 1, (400, 1)), 100, axis=1).astype(np.float32)
    values += rng.normal(0, 0.1, values.shape).astype(np.float32)
    with torch.no_grad():
        found = lda.discriminant(1.0, apart(values[:200], targets[:200]), 2)(torch.from_numpy(values[200:]))
    assert best(found.double().numpy(), targets[200:]) == pytest.approx(1, rel=0.3)


def test_majority_answers_the_frequencies() -> None:
    values, targets = table()
    net = majority.fit(Majority(name="majority"), apart(values, targets), CLASSES, seed=7)
    found = net(torch.from_numpy(values)).softmax(dim=1)
    counts = Counter(targets.tolist())
    expected = [counts[label] / len(targets) for label in range(CLASSES)]
    np.testing.assert_allclose(found, [expected] * len(values), rtol=1e-5)
    assert set(found.argmax(dim=1).tolist()) == {counts.most_common(1)[0][0]} == {CLASSES - 1}


def test_scaling_leaves_a_constant_column_alone() -> None:
    scale = Standardise(Input((2,), np.array([3, 1], np.float32), np.array([0, 2], np.float32)))
    torch.testing.assert_close(scale(torch.tensor([[3.5, 5.0]])), torch.tensor([[0.5, 2.0]]))


def test_the_tutorial_net_is_the_tutorials() -> None:
    """Conv 32, 32, 64, each with ReLU and pooling; dropout 0.4, dense 128, softmax over ten; 256x256x3 pictures."""
    net = cnn.build(Cnn(name="cnn", arch="tutorial", dropout=0.4), [image(256, 256)], 10)
    layers = [module for module in net.modules() if not list(module.children())]
    convolution = [nn.Conv2d, nn.MaxPool2d, nn.ReLU]
    assert [type(layer) for layer in layers] == [
        *convolution, *convolution, *convolution, nn.Dropout, nn.Flatten, nn.Linear, nn.ReLU, nn.Linear
    ]  # fmt: skip
    shapes = [tuple(layer.weight.shape) for layer in layers if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert shapes == [(32, 3, 3, 3), (32, 32, 3, 3), (64, 32, 3, 3), (128, 64 * 30 * 30), (10, 128)]
    assert [layer.p for layer in layers if isinstance(layer, nn.Dropout)] == [0.4]
    seen: list[Tensor] = []
    layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net(torch.tensor([-80.0, -20.0]).reshape(2, 1, 1).expand(2, 256, 256))
    assert (seen[0][0] == 0).all(), "silence is black"
    assert (seen[0][1] == 0.75).all()
    in_its_order = nn.Sequential(*(layers[place] for place in (0, 2, 1, 3, 5, 4, 6, 8, 7, *range(9, len(layers)))))
    pictures = torch.rand(2, 256, 256, generator=torch.Generator().manual_seed(7)) * -80
    net.eval()
    torch.testing.assert_close(net(pictures), in_its_order.eval()((1 + pictures / 80)[:, None].expand(-1, 3, -1, -1)))


def test_the_tutorials_late_fusion_is_two_of_its_trunks_and_one_layer() -> None:
    images = [image(64, 40), image(48, 40)]
    net: Any = multimodal.build(Multimodal(name="multimodal", arch="tutorial", dropout=0.4), images, 10)
    single: Any = cnn.build(Cnn(name="cnn", arch="tutorial", dropout=0.4), images[:1], 10)
    assert str(net.branches[0]) == str(single[0]), "the trunk of the CNN"
    assert net.branches[1].body[-2].in_features == 64 * 4 * 3
    assert [tuple(layer.weight.shape) for layer in net.head if isinstance(layer, nn.Linear)] == [(10, 256)]
    dropouts = [module.p for module in net.modules() if isinstance(module, nn.Dropout)]
    assert dropouts == [0.4, 0.4, 0.0], "inside the trunks alone"


def features(folder: Path, count: int, clips: int = 32) -> tuple[list[Feature], Windows]:
    """Images of two labels, which each of the images alone tells apart: the upper bands are louder."""
    rng = np.random.default_rng(count)
    targets = np.arange(clips) % 2
    ids = [str(number) for number in range(clips)]
    found = []
    for number in range(count):
        blocks = rng.normal(-50, 8, (clips, 40, 32)).astype(np.float32)
        blocks[targets == 1, :, 16:] += 6
        write_store(folder / f"{number}", ids, iter(blocks), "float16", {"windowed": True, "silence_db": -80.0})
        found.append(Feature.stored(Store(folder / f"{number}"), ids, 40))
    return found, Windows(found, targets)


@pytest.fixture(scope="module", params=["untrained", "trained"])
def fused(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, training: Trainings
) -> tuple[nn.Module, list[Tensor]]:
    """A multimodal net and a batch of its two inputs, of alternating labels."""
    folder = tmp_path_factory.mktemp(request.param)
    (first, second), windows = features(folder, 2)
    torch.manual_seed(7)
    net = multimodal.build(Multimodal(name="multimodal", dropout=0.3), [first.describe(), second.describe()], 2)
    if request.param == "trained":
        settings = training(epochs=4, batch_size=8, learning_rate=0.003, patience=None, monitor="valid_loss")
        history = fit(net, windows, windows, settings, 7, folder / "work", lambda *_: None)
        assert history["valid_accuracy"].iloc[-1] > 0.9
    return net.eval(), list(Batches(windows)[windows.even(1)].inputs)


@pytest.mark.parametrize("branch", [0, 1])
@pytest.mark.parametrize("how", ["zeroed", "permuted"])
def test_each_branch_counts(fused: tuple[nn.Module, list[Tensor]], branch: int, how: str) -> None:
    """In a public copy of the original both branches saw the same picture: here the output follows both."""
    net, inputs = fused
    changed = list(inputs)
    changed[branch] = torch.zeros_like(inputs[branch]) if how == "zeroed" else inputs[branch].roll(1, dims=0)
    with torch.no_grad():
        before, after = net(*inputs), net(*changed)
    moved = (before - after).abs().amax(dim=1)
    assert (moved > 0.001 * before.std()).all()
    assert moved.max() > 0.1 * before.std()


def state(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def moved(before: dict[str, Tensor], net: nn.Module) -> set[str]:
    """Which parameters and buffers differ from ``before``."""
    return {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}


def backbone_net(folder: Path, frozen: bool, unfreeze_from: str | None = None) -> tuple[transfer.Transfer, Windows]:
    (feature,), windows = features(folder, 1)
    settings = Transfer(
        name="transfer", backbone="mobilenet", frozen=frozen, unfreeze_from=unfreeze_from, hidden=[], dropout=0.1
    )
    torch.manual_seed(7)
    net = transfer.build(settings, [feature.describe()], 2)
    assert isinstance(net, transfer.Transfer)
    return net, windows


def test_a_frozen_backbone_does_not_move(tmp_path: Path, training: Trainings) -> None:
    """No parameter and no running statistic, whether its embeddings are kept or it runs in every step."""
    net, windows = backbone_net(tmp_path, frozen=True)
    before = state(net.backbones)
    (embedded,) = embed([windows], net.backbones, training(batch_size=8), tmp_path / "kept", [TRAIN_SPACING])
    head = state(net.head)
    fit(net.head, embedded, embedded, training(epochs=2, batch_size=8), 7, tmp_path / "head", lambda *_: None)
    assert moved(head, net.head) == set(head)
    fit(net, windows, windows, training(epochs=1, batch_size=8), 7, tmp_path / "net", lambda *_: None)
    assert not moved(before, net.backbones)


def test_a_fine_tuned_backbone_moves_in_all_its_parts(tmp_path: Path, training: Trainings) -> None:
    net, windows = backbone_net(tmp_path, frozen=False)
    before = state(net)
    fit(net, windows, windows, training(epochs=1, batch_size=8), 7, tmp_path / "work", lambda *_: None)
    assert moved(before, net) == set(before), "parameters, running means and variances, and their counters"


def test_embeddings_of_several_backbones_are_joined(tmp_path: Path, training: Trainings) -> None:
    """And a discriminant on them is the head, whose answers are those of the whole net."""
    (feature,), windows = features(tmp_path, 1)
    settings = Transfer(
        name="transfer", backbone=["resnet", "smaller"], frozen=True, shrinkage=0.5, hidden=[], dropout=0.0
    )
    net = transfer.build(settings, [feature.describe()], 2)
    assert isinstance(net, transfer.Transfer)
    (embedded,) = embed([windows], net.backbones, training(batch_size=8), tmp_path / "kept", [TRAIN_SPACING])
    every = embedded[embedded.even(1)]
    with torch.no_grad():
        inputs = Batches(windows)[windows.even(1)].inputs
        joined = torch.cat([backbone(*inputs) for backbone in net.backbones], dim=1)
    np.testing.assert_allclose(every.inputs[0], joined, rtol=1e-3, atol=1e-3)
    net.head = transfer.fit_head(closed_form(0.5), apart(every.inputs[0], every.targets), ["a", "b"])
    with torch.no_grad():
        hits = net.eval()(*inputs).argmax(dim=1).numpy() == windows.targets
    assert hits.mean() > 0.9


@pytest.mark.parametrize("backbone", ["mobilenet", "resnet"])
def test_the_maps_of_every_block_count_once(tmp_path: Path, backbone: str) -> None:
    """MobileNetV2 makes its last maps of the last block's; a ResNet's last block makes them."""
    (feature,), windows = features(tmp_path, 1)
    settings = Transfer(
        name="transfer", backbone=backbone, frozen=True, feature_maps="every block", hidden=[], dropout=0.0
    )
    (seeing,) = transfer.load_backbones(settings, feature.describe())
    seen = Batches(windows)[windows.even(1)].inputs[0]
    made: list[Tensor] = []
    network: Any = seeing.network
    blocks = network.layer if backbone == "mobilenet" else network.encoder.stages
    for block in [network.embedder, *blocks] if backbone == "resnet" else [*blocks, network.conv_1x1]:
        block.register_forward_hook(lambda _module, _inputs, maps: made.append(maps.mean(dim=(2, 3))))
    with torch.no_grad():
        found = seeing.eval()(seen)
        last = transfer.load_backbones(settings.model_copy(update={"feature_maps": "last"}), feature.describe())[
            0
        ].eval()(seen)
    assert len(made) > 2
    torch.testing.assert_close(found, torch.cat(made, dim=1), rtol=0, atol=0)
    torch.testing.assert_close(found[:, -last.shape[1] :], last)


def test_a_network_without_maps_of_its_blocks_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Network(nn.Module):
        def forward(self, image: Tensor, output_hidden_states: bool = False) -> SimpleNamespace:  # noqa: ARG002
            return SimpleNamespace(last_hidden_state=image, hidden_states=(image.flatten(2),))

    monkeypatch.setattr(image_family, "load", lambda _: Network())
    settings = Transfer(
        name="transfer", backbone="other", frozen=True, feature_maps="every block", hidden=[], dropout=0.0
    )
    with pytest.raises(ParamsError, match=r"model\.feature_maps: weights\.other has no feature maps for each block"):
        image_family.build(Path("weights/other"), image(), settings)


def test_a_discriminant_of_embeddings_takes_their_columns_as_they_are() -> None:
    values, targets = table(CLASSES)
    rows = apart(values * np.geomspace(0.1, 10, values.shape[1], dtype=np.float32), targets)
    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.4).fit(rows.values, targets)
    head = transfer.fit_head(closed_form(0.4), rows, list("abcdefgh")[:CLASSES])
    with torch.no_grad():
        found = head(torch.from_numpy(rows.values)).argmax(dim=1).numpy()
    np.testing.assert_array_equal(found, reference.predict(rows.values))
    scaled = (rows.values - rows.values.mean(axis=0)) / rows.values.std(axis=0)
    otherwise = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.4).fit(scaled, targets).predict(scaled)
    assert (found != otherwise).any()


def test_musicnn_takes_its_own_feature_alone() -> None:
    settings = Transfer(name="transfer", backbone="musicnn_msd", frozen=True, hidden=[], dropout=0.0)
    with pytest.raises(UserError, match=r"weights\.musicnn_msd takes windows of 96 bands.*features: \[musicnn\]"):
        transfer.build(settings, [image()], 2)
    with pytest.raises(ParamsError, match=r"model\.upsample: weights\.musicnn_msd is not an image network"):
        transfer.build(settings.model_copy(update={"upsample": 2.0}), [image(bands=96)], 2)
    with pytest.raises(ParamsError, match=r"model\.feature_maps: weights\.musicnn_msd is not an image network"):
        transfer.build(settings.model_copy(update={"feature_maps": "every block"}), [image(bands=96)], 2)
    net = transfer.build(settings, [image(bands=96)], 2).eval()
    levels = torch.rand(3, 96, 40) * 4
    with torch.no_grad():
        decibels = (10 * torch.log10((10**levels - 1) / 1e4)).clamp_min(-80)
        assert isinstance(net, transfer.Transfer)
        (backbone,) = net.backbones
        found, expected = backbone(decibels), backbone.get_submodule("network")(levels)[:, :200]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_members_share_a_frozen_backbone() -> None:
    """Which is the same in all; a tuned one is not, each member has its own."""
    frozen = Transfer(name="transfer", backbone="musicnn_msd", frozen=True, hidden=[], dropout=0.0)
    tuned = frozen.model_copy(update={"frozen": False})
    inputs = [image(bands=96)]
    assert isinstance(transfer.joined([transfer.build(tuned, inputs, 2) for _ in range(2)]), Ensemble)
    members = [transfer.build(frozen, inputs, 2).eval() for _ in range(3)]
    net, window = transfer.joined(members), torch.rand(4, 96, 40) * 40 - 40
    assert isinstance(net, transfer.Transfer)
    assert len(net.backbones) == 1
    with torch.no_grad():
        expected = torch.stack([member(window).softmax(dim=1) for member in members]).mean(dim=0)
        torch.testing.assert_close(net(window).softmax(dim=1), expected)


def test_a_backbone_fine_tuned_from_a_module_on_keeps_the_weights_before_it(
    tmp_path: Path, training: Trainings
) -> None:
    net, windows = backbone_net(tmp_path, frozen=False, unfreeze_from="layer.3")
    before = state(net)
    fit(net, windows, windows, training(epochs=1, batch_size=8), 7, tmp_path / "work", lambda *_: None)
    kept = set(before) - moved(before, net)
    early = tuple(f"backbones.0.network.{name}." for name in ("conv_stem", "layer.0", "layer.1", "layer.2"))
    weights = {name for name, _ in net.named_parameters()}
    assert kept == {name for name in weights if name.startswith(early)}


def test_a_backbone_that_goes_back_lies_on_the_way_and_its_discriminant_is_its_own(
    tmp_path: Path, training: Trainings
) -> None:
    (feature,), windows = features(tmp_path, 1)
    names = [f"{number}" for number in range(len(windows))]
    clips = pd.DataFrame({"clip_id": names, "group": names, "protocol": "grouped"})
    data = Splits(
        ["spectrogram"],
        ["a", "b"],
        {"train": clips},
        {"train": [feature], "valid": [feature]},
        {"train": windows, "valid": windows},
    )

    def tuned(share: float) -> transfer.Transfer:
        model = {"name": "transfer", "backbone": "mobilenet", "frozen": False, "hidden": [], "dropout": 0.1}
        one = Experiment.model_validate(
            {
                "features": ["spectrogram"],
                "model": {**model, "shrinkage": 0.5, "wise_ft_alpha": share, "feature_maps": "every block"},
                "training": training(epochs=2, batch_size=8).model_dump(),
            }
        )
        folder = tmp_path / f"{share}"
        net, history = train_single(one, data, 7, folder / "work", folder / "kept", no_callback)
        assert len(history) == 2
        assert isinstance(net, transfer.Transfer)
        return net

    untuned, _ = backbone_net(tmp_path / "untuned", frozen=False)
    back = tuned(0.25)
    before, after, found = (state(net.backbones) for net in (untuned, tuned(1.0), back))
    for name, tensor in found.items():
        if tensor.is_floating_point():
            assert not torch.equal(before[name], after[name]), name
            torch.testing.assert_close(tensor, 0.75 * before[name] + 0.25 * after[name])
    assert state(back.head)["weight"].shape[1] > after["0.network.conv_1x1.normalization.weight"].numel(), (
        "of every block"
    )
    with torch.no_grad():
        said = back(*Batches(windows)[windows.even(1)].inputs).argmax(dim=1).numpy()
    assert (said == windows.targets).mean() > 0.9


def test_statistics_of_a_fine_tuned_backbone_follow_within_a_few_steps(tmp_path: Path) -> None:
    """Those of MobileNetV2 as it was trained follow over hundreds: on a few clips they would stay ImageNet's."""
    net, windows = backbone_net(tmp_path, frozen=False)
    norm = next(module for module in net.modules() if isinstance(module, nn.BatchNorm2d))
    seen: list[Tensor] = []
    norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    (images,) = Batches(windows)[windows.even(windows.frames)[:4]].inputs
    followed = norm.running_mean
    assert followed is not None
    with torch.no_grad():
        followed.fill_(7.0)
        for _ in range(30):
            net.train()(images)
    expected = seen[-1].mean(dim=(0, 2, 3))
    assert (followed - expected).abs().max() < 0.1 * (7 - expected).abs().max()


def test_all_norms_of_a_fine_tuned_musicnn_follow_alike() -> None:
    """Half of them are of sequences and not of images."""
    settings = Transfer(name="transfer", backbone="musicnn_msd", frozen=False, hidden=[], dropout=0.0)
    net = transfer.build(settings, [image(bands=96)], 2)
    norms = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert len({type(norm) for norm in norms}) == 2
    assert {norm.momentum for norm in norms} == {transfer.MOMENTUM}


def test_a_backbone_lacks_the_module_to_tune_from(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"unfreeze_from: the backbone has no module 'layer.99', but conv_stem"):
        backbone_net(tmp_path, frozen=False, unfreeze_from="layer.99")


def test_a_backbone_sees_the_floor_as_black_and_full_scale_as_white(tmp_path: Path) -> None:
    """Whatever the training part is like: an embedding is the same in every fold."""
    net, windows = backbone_net(tmp_path, frozen=True)
    (backbone,) = net.backbones
    seen: list[Tensor] = []
    backbone.get_submodule("network").register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    (levels,) = Batches(windows)[windows.even(windows.frames)].inputs
    levels[0, 0, :3] = torch.tensor([-80.0, -40.0, 0.0])
    levels[0, 1, :2] = torch.tensor([-90.0, 6.0])  # as a gain makes them
    backbone(levels)
    (picture,) = seen
    assert picture.shape == (32, 3, 32, 40)
    assert all(torch.equal(picture[:, 0], picture[:, channel]) for channel in (1, 2))
    assert picture[0, 0, 0, :3].tolist() == [-1, 0, 1]
    assert picture[0, 0, 1, :2].tolist() == [-1, 1]


@pytest.mark.parametrize(("channels", "upsample"), [(1, 1.0), (3, 1.0), (1, 2.0)])
def test_a_backbone_sees_a_picture_from_minus_one_to_one(channels: int, upsample: float) -> None:
    """As it was trained, whatever the data set's own mean; grey as three equal channels; enlarged if asked to."""
    seen: list[Tensor] = []

    class Network(nn.Module):
        def forward(self, image: Tensor) -> SimpleNamespace:
            seen.append(image)
            return SimpleNamespace(last_hidden_state=image)

    low = np.full(channels, 0.1, np.float32)
    backbone = ImageBackbone(Input((channels, 4, 4), low, low), Network(), False, upsample)
    images = torch.rand(2, channels, 4, 4)
    assert backbone(images).shape == (2, 3)
    if upsample == 1:
        torch.testing.assert_close(seen[0], (images * 2 - 1).expand(-1, 3, -1, -1))
    else:
        assert seen[0].shape == (2, 3, 8, 8)
        corners = (images * 2 - 1)[:, :, [0, 0, 3, 3], [0, 3, 0, 3]].expand(-1, 3, -1)
        torch.testing.assert_close(seen[0][:, :, [0, 0, 7, 7], [0, 7, 0, 7]], corners)


def test_the_small_cnn_is_for_pictures_that_leave_nothing_of_the_compact_one() -> None:
    source = Input((1, 28, 28), np.zeros(1, np.float32), np.ones(1, np.float32))
    images = torch.rand(2, 1, 28, 28)
    with pytest.raises(RuntimeError, match="too small"):
        cnn.build(Cnn(name="cnn", arch="compact", dropout=0.0), [source], 24)(images)
    assert cnn.build(Cnn(name="cnn", arch="small", dropout=0.0), [source], 24)(images).shape == (2, 24)
