"""Train one experiment: its best epoch on validation is kept as an ONNX graph, its curves as a CSV."""

import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from pipeline import models, params, paths, tracking
from pipeline.files import read_json, remove, whole, write_json
from pipeline.models.exported import export
from pipeline.params import Experiment, Params
from pipeline.stages import main, recording
from pipeline.training import HISTORY, EpochSink, parts
from pipeline.training.windows import embed

if TYPE_CHECKING:
    from torch import nn


def train(key: str) -> None:
    settings = params.load()
    experiment = params.experiment(settings, key)
    data = parts.load(experiment, settings.window)
    work = paths.cache() / "train" / _identity(settings, experiment, key)
    begun = work / "run.json"
    run_id = read_json(begun)["run_id"] if begun.exists() else None
    tags = tracking.lineage(settings.data.source)
    with tracking.run(settings.tracking.experiment, key, run_id, tags) as run:
        write_json(begun, {"run_id": run.id})
        run.log_params(recording.described(settings, experiment))
        start = time.monotonic()
        net, history = _trained(settings, experiment, data, work, run.log_epoch)
        spec = {
            "run_id": run.id,
            "labels": data.labels,
            "features": experiment.features,
            "window": settings.window.model_dump(),
            "parameters": sum(p.numel() for p in net.parameters() if p.requires_grad),
            "train_seconds": round(time.monotonic() - start, 1),
        }
        _write(key, net, history, data, spec)
        recording.model(run, key, data)
    remove(work)


def _trained(
    settings: Params, experiment: Experiment, data: parts.Parts, work: Path, sink: EpochSink
) -> "tuple[nn.Module, pd.DataFrame]":
    module = models.load(experiment.model.name)
    windows, valid = data.windows["train"], data.windows["valid"]
    if hasattr(module, "fit"):
        values = windows.sources[0].cut(*windows.even(1).T).numpy()
        net = module.fit(experiment.model, values, windows.targets.numpy(), len(data.labels), settings.seed)
        return net, pd.DataFrame(columns=list(HISTORY))
    from pipeline.training.fit import fit  # Lightning takes seconds to import, and fitted models do without

    torch.manual_seed(settings.seed)
    inputs = [feature.describe() for feature in data.features["train"]]
    # convolutions on the CPU are up to twice as fast with the channels last
    net = module.build(experiment.model, inputs, len(data.labels)).to(memory_format=torch.channels_last)
    trained = net
    if getattr(net, "frozen", False):
        size = experiment.training.batch_size
        windows, valid = embed(windows, net.backbone, size), embed(valid, net.backbone, size)
        trained = net.head
    history = fit(trained, windows, valid, experiment.training, settings.seed, work, sink)
    return net.eval(), history


def _write(
    key: str, net: "nn.Module", history: pd.DataFrame, data: parts.Parts, spec: dict[str, object]
) -> None:
    examples = [torch.from_numpy(values) for values in recording.examples(data).values()]
    with whole(paths.MODELS / key) as folder:
        folder.mkdir()
        export(net, examples, list(recording.examples(data)), folder / "model.onnx")
        write_json(folder / "spec.json", spec)
    with whole(paths.HISTORY / f"{key}.csv") as file:
        history.to_csv(file, index=False)


def _identity(settings: Params, experiment: Experiment, key: str) -> str:
    """Names the checkpoints of this very training: other params, data or code never resume from them."""
    digest = hashlib.sha256(json.dumps([settings.seed, settings.window.model_dump(), key]).encode())
    digest.update(experiment.model_dump_json().encode())
    code = [
        file
        for folder in ("models", "training")
        for file in Path(__file__).parents[1].joinpath(folder).rglob("*.py")
    ]
    for file in [paths.INPUTS / f"{key}.json", paths.CLIPS, paths.SPLIT, *sorted(code)]:
        digest.update(file.read_bytes())
    return f"{key}-{digest.hexdigest()[:16]}"


if __name__ == "__main__":
    main(train, "key")
