"""The loop learns, keeps the best epoch, repeats itself bit for bit, also from where it was interrupted."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from stores import write_store
from torch import Tensor, nn
from torch.nn import functional

from pipeline.config.models import Cnn, Mlp
from pipeline.config.training import Training
from pipeline.evaluation import metrics
from pipeline.features.store import Store
from pipeline.models import cnn, mlp
from pipeline.training import HISTORY
from pipeline.training.dataset import Feature, Windows
from pipeline.training.embeddings import Embeddings
from pipeline.training.module import Batch, Classifier
from pipeline.training.trainer import Batches, _class_weights, fit

LABELS = 3
MLP = Mlp(name="mlp", hidden=[16], dropout=0.2)
CNN = Cnn(name="cnn", arch="compact", dropout=0.2)
UNCHANGED = {"time_masks": 0, "time_width": 0, "band_masks": 0, "band_width": 0, "gain_db": 0.0}
Trainings = Callable[..., Training]


class Stopped(Exception):
    pass


def table(folder: Path, seed: int, clips: int = 48, spread: float = 1.0) -> tuple[list[Feature], Windows]:
    """Six columns, of which three lie higher in clips of their own label: by four, and with this spread."""
    rng = np.random.default_rng(seed)
    targets = rng.permutation(np.arange(clips) % LABELS)
    values = rng.normal(0, spread, (clips, 6)).astype(np.float32)
    values[np.arange(clips), targets] += 4
    ids = [f"{number}" for number in range(clips)]
    write_store(folder / f"table {seed}", ids, values[:, None], "float32", {"windowed": False})
    features = [Feature.stored(Store(folder / f"table {seed}"), ids, 1)]
    return features, Windows(features, targets)


def pictures(folder: Path, seed: int, clips: int = 18) -> tuple[list[Feature], Windows]:
    """Clips of 40 to 70 frames and 32 bands, with a third of the bands louder by their label."""
    rng = np.random.default_rng(seed)
    targets = np.arange(clips) % LABELS
    blocks = []
    for target in targets:
        block = rng.normal(-40, 10, (int(rng.integers(40, 70)), 32))
        block[:, 10 * target : 10 * target + 10] += 8
        blocks.append(block.astype(np.float32))
    ids = [f"{number}" for number in range(clips)]
    write_store(folder / f"pictures {seed}", ids, blocks, "float16", {"windowed": True, "silence_db": -80.0})
    features = [Feature.stored(Store(folder / f"pictures {seed}"), ids, 32)]
    return features, Windows(features, targets)


class Job:
    """One kind of training on the toy data, as often as one likes: what it leaves, its history, what it reported."""

    def __init__(self, folder: Path, kind: str, settings: Training) -> None:
        make = {"mlp": table, "cnn": pictures}[kind]
        self.folder, self.kind, self.settings = folder, kind, settings
        (features, self.train), (_, self.valid) = make(folder, 1), make(folder, 2)
        self.inputs = [feature.describe() for feature in features]
        self.reported: list[tuple[int, dict[str, float]]] = []
        self.number = itertools.count()

    def net(self, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return mlp.build(MLP, self.inputs, LABELS) if self.kind == "mlp" else cnn.build(CNN, self.inputs, LABELS)

    def run(
        self, seed: int = 7, folder: Path | None = None, stop_at: int | None = None
    ) -> tuple[nn.Module, pd.DataFrame]:
        def sink(epoch: int, metrics: dict[str, float]) -> None:
            if epoch == stop_at:
                raise Stopped
            self.reported.append((epoch, metrics))

        net = self.net(seed)
        place = folder or self.folder / f"run {next(self.number)}"
        return net, fit(net, self.train, self.valid, self.settings, seed, place, sink)


def same(one: nn.Module, other: nn.Module) -> bool:
    """Bit for bit, parameters and buffers."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_separable_problem_is_learnt(tmp_path: Path, training: Trainings) -> None:
    job = Job(tmp_path, "mlp", training(epochs=15, learning_rate=0.01, patience=None))
    net, history = job.run()
    assert list(history.columns) == list(HISTORY)
    assert list(history["epoch"]) == list(range(15))
    assert history["valid_macro_f1"].iloc[0] < history["valid_macro_f1"].max()
    assert history["valid_macro_f1"].max() > 0.9
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0] / 2
    assert not net.training
    assert [{"epoch": epoch, **metrics} for epoch, metrics in job.reported] == history.to_dict("records")


def test_mixed_precision_learns_as_well(tmp_path: Path, training: Trainings) -> None:
    """Products in 16 bits, weights in 32, and validation in 32 as evaluation; bfloat16 is emulated where the CPU lacks it.

    An epoch is one step: the first loss is that of the same weights, and bfloat16 rounds to one part in 256. Whatever
    follows a step drifts apart.
    """
    settings = {"epochs": 12, "batch_size": 18, "learning_rate": 0.01, "patience": None}
    full, mixed = (
        Job(tmp_path / precision, "cnn", training(**settings, precision=precision))
        for precision in ("32-true", "bf16-mixed")
    )
    seen: set[tuple[bool, torch.dtype]] = set()
    hook = nn.modules.module.register_module_forward_hook(
        lambda module, _, output: seen.add((module.training, output.dtype)) if isinstance(module, nn.Conv2d) else None
    )
    with hook:
        net, history = mixed.run()
    assert seen == {(True, torch.bfloat16), (False, torch.float32)}
    assert {values.dtype for values in net.parameters()} == {torch.float32}
    _, exact = full.run()
    assert history["train_loss"][0] == pytest.approx(exact["train_loss"][0], rel=4 / 256)
    assert history["train_loss"][0] != exact["train_loss"][0]
    assert history["valid_macro_f1"].max() > 0.9


@pytest.mark.parametrize("monitor", ["valid_macro_f1", "valid_loss"])
def test_it_stops_early_and_gives_the_best_epoch(tmp_path: Path, training: Trainings, monitor: str) -> None:
    """With a learning rate this high the net is soon as good as it gets, and then only sways."""
    settings = training(epochs=40, learning_rate=0.3, patience=3, monitor=monitor, schedule="constant")
    job = Job(tmp_path, "mlp", settings)
    net, history = job.run()
    scores = history[monitor] if monitor == "valid_macro_f1" else -history[monitor]
    best = int(scores.to_numpy().argmax())
    assert len(history) == best + 1 + 3 < 40
    everything = Batches(job.valid)[job.valid.even(1)]
    with torch.no_grad():
        loss = functional.cross_entropy(net(*everything.inputs), everything.targets)
    assert float(loss) == pytest.approx(history["valid_loss"][best], rel=1e-4)
    assert float(loss) != pytest.approx(history["valid_loss"].iloc[-1], rel=1e-2), "the last epoch is another one"


AUGMENT = {
    "time_masks": 1,
    "time_width": 8,
    "band_masks": 1,
    "band_width": 8,
    "gain_db": 3.0,
    "band_shift": 2.0,
    "stretch": 0.1,
}


@pytest.fixture
def job(request: pytest.FixtureRequest, tmp_path: Path, training: Trainings) -> Job:
    """All that draws random numbers is switched on, windows, dropout, augmentation, mixup."""
    settings = training(
        epochs=5,
        batch_size=12,
        windows_per_clip=2,
        learning_rate=0.01,
        patience=4,
        monitor="valid_macro_f1",
        augment=AUGMENT,
        mixup=0.4,
    )
    return Job(tmp_path, request.param, settings)


both = pytest.mark.parametrize("job", ["mlp", "cnn"], indirect=True)


@both
def test_the_same_seed_gives_the_same_weights(job: Job) -> None:
    (first, history), (again, repeated), (other, _) = job.run(7), job.run(7), job.run(8)
    pd.testing.assert_frame_equal(history, repeated, check_exact=True)
    assert same(first, again)
    assert not same(first, other)


@both
def test_an_interrupted_run_ends_as_if_it_had_not_been(job: Job, tmp_path: Path) -> None:
    straight, history = job.run()
    assert len(history) > 4
    job.reported.clear()
    with pytest.raises(Stopped):
        job.run(folder=tmp_path / "interrupted", stop_at=3)
    before = list(job.reported)
    job.reported.clear()
    torch.manual_seed(123)
    resumed, joined = job.run(folder=tmp_path / "interrupted")
    pd.testing.assert_frame_equal(history, joined, check_exact=True)
    assert same(straight, resumed)
    assert [epoch for epoch, _ in job.reported] == list(history["epoch"]), (
        "earlier epochs are reported again, to a store that may be another; none is trained again"
    )
    assert job.reported[: len(before)] == before


def test_a_finished_run_is_not_trained_further(tmp_path: Path, training: Trainings) -> None:
    """As when the process is killed between the last epoch and the export."""
    job = Job(
        tmp_path,
        "mlp",
        training(epochs=40, learning_rate=0.3, patience=3, monitor="valid_macro_f1", schedule="constant"),
    )
    net, history = job.run(folder=tmp_path / "work")
    again, resumed = job.run(folder=tmp_path / "work")
    pd.testing.assert_frame_equal(history, resumed, check_exact=True)
    assert same(net, again)


def test_a_net_in_evaluation_mode_is_trained_like_any_other(tmp_path: Path, training: Trainings) -> None:
    """A loaded backbone is in that mode, and its batch norms would learn nothing."""
    job = Job(tmp_path, "cnn", training(epochs=1, batch_size=8))
    nets = [job.net(7), job.net(7).eval()]
    for number, net in enumerate(nets):
        fit(net, job.train, job.valid, job.settings, 7, tmp_path / f"mode {number}", lambda *_: None)
    assert same(*nets)


class Seen(nn.Module):
    """Keeps what it was given; its logits are of two labels."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        self.inputs.append(image)
        return image[:, :2].flatten(2).mean(dim=2)


@pytest.fixture
def classifier(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Classifier]:
    """Outside of a trainer, which takes what is logged."""
    monkeypatch.setattr(Classifier, "log", lambda *_, **__: None)

    def make(net: nn.Module, settings: Training, weights: Tensor) -> Classifier:
        return Classifier(net, settings, weights, [-80.0], 4, 0)

    return make


def batch() -> Batch:
    images = torch.randn(4, 8, 16, generator=torch.Generator().manual_seed(7))
    return Batch((images,), torch.tensor([0, 1, 0, 0]), torch.arange(4))


def test_rare_labels_weigh_more(training: Trainings) -> None:
    windows = Windows(
        [Embeddings(np.zeros((100, 1), np.float32), np.ones(100, dtype=np.int64))], np.repeat([0, 1], [90, 10])
    )
    weights = _class_weights(windows, training(class_weights=True))
    assert weights.tolist() == pytest.approx([100 / 180, 100 / 20])
    assert weights[windows.targets].mean() == pytest.approx(1)
    assert _class_weights(windows, training(class_weights=False)).tolist() == [1, 1]


def test_the_loss_is_weighted(training: Trainings, classifier: Callable[..., Classifier]) -> None:
    settings = training(label_smoothing=0.0, augment=UNCHANGED)
    loss = classifier(Seen(), settings, torch.tensor([1.0, 3.0])).training_step(batch())
    right = Seen()(batch().inputs[0]).log_softmax(dim=1)[torch.arange(4), batch().targets]
    share = torch.tensor([1.0, 3.0, 1.0, 1.0]) / 6
    assert loss == pytest.approx(-(right * share).sum())


def test_the_loss_of_mixed_windows_is_of_both_labels(
    training: Trainings, classifier: Callable[..., Classifier]
) -> None:
    net = Seen()
    settings = training(label_smoothing=0.0, augment=UNCHANGED, mixup=0.4)
    torch.manual_seed(3)
    loss = classifier(net, settings, torch.tensor([1.0, 3.0])).training_step(batch())
    (seen,), (images,) = net.inputs, batch().inputs
    before = images.roll(1, dims=0)
    share = ((seen - before) / (images - before)).median()
    assert 0.5 < share < 0.99
    torch.testing.assert_close(seen, share * images + (1 - share) * before)
    logits, weights = Seen()(seen), torch.tensor([1.0, 3.0])
    own, other = (
        functional.cross_entropy(logits, targets, weights) for targets in (batch().targets, batch().targets.roll(1))
    )
    assert float(loss) == pytest.approx(float(share * own + (1 - share) * other), rel=1e-4)
    assert abs(own - other) > 0.001


def test_windows_are_augmented_in_training_alone(training: Trainings, classifier: Callable[..., Classifier]) -> None:
    net = Seen()
    module = classifier(net, training(augment=AUGMENT), torch.ones(2))
    (images,) = batch().inputs
    module.training_step(batch())
    module.on_validation_epoch_start()
    module.validation_step(batch())
    trained, validated = net.inputs
    assert not torch.equal(trained, images)
    assert torch.equal(validated, images)
    assert torch.equal(images, batch().inputs[0]), "and not in place"


def test_an_epochs_macro_f1_is_that_of_evaluation(
    training: Trainings, classifier: Callable[..., Classifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where one label has no clip and another is never predicted."""
    logged: dict[str, float] = {}
    module = classifier(nn.Identity(), training(), torch.ones(4))
    monkeypatch.setattr(module, "log_dict", lambda values, **_: logged.update(values))
    logits = torch.tensor([[9.0, 0, 0, 0], [0, 0, 9, 0], [0, 0, 9, 0], [9, 0, 0, 0]])
    module.trained = torch.ones(3)
    module.on_validation_epoch_start()
    module.validation_step(Batch((logits,), torch.tensor([0, 0, 2, 3]), torch.arange(4)))
    module.on_validation_epoch_end()

    labels = ["jazz", "polka", "rock", "waltz"]
    rows = pd.DataFrame(logits.softmax(dim=1).numpy(), columns=[f"p:{label}" for label in labels])
    rows = rows.assign(clip_id=list("abcd"), part="valid", label=["jazz", "jazz", "rock", "waltz"])
    rows["predicted"] = ["jazz", "rock", "rock", "jazz"]
    expected = metrics.scores(rows, "valid")["valid_macro_f1"]
    assert logged["valid_macro_f1"] == expected == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
