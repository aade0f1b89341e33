"""Get ready what an experiment is trained on: the versions of features, weights and model code that it uses, and what its
frozen backbones make of every clip.

An experiment has any number of inputs, and a DVC stage a fixed list of dependencies: ``train`` depends on this
small file, so it reruns when one of its own inputs changed and not when another's did. Embeddings are features like any
other, packed and versioned; training finds them here, and runs a backbone only for what is not here.
"""

from pathlib import Path

import numpy as np

from pipeline import config, paths
from pipeline.config.experiment import Experiment
from pipeline.config.features import Window
from pipeline.config.models import Transfer
from pipeline.data import clips
from pipeline.features.store import Store
from pipeline.files import sha256, whole, write_json
from pipeline.models import backbones
from pipeline.stages import main
from pipeline.workflow.dependencies import reached, versions


def inputs(key: str) -> None:
    settings = config.load()
    experiment = config.experiment(settings, key)
    write_json(paths.INPUTS / f"{key}.json", used(experiment))
    with whole(paths.EMBEDDINGS / key) as folder:
        folder.mkdir()
        for number, part in enumerate(config.branches(experiment)):
            if isinstance(part.model, Transfer) and part.model.frozen:
                _embed(part, part.model, settings.window, folder / str(number))


def used(experiment: Experiment) -> dict[str, str]:
    """Digests by what they are of."""
    found = {f"features/{kind}": Store(paths.FEATURES / kind).spec["digest"] for kind in experiment.features}
    for name in config.backbones(experiment):
        found |= {file.as_posix(): sha256(file) for file in sorted((paths.WEIGHTS / name).iterdir())}
        found |= model_code(f"backbones.{backbones.family(paths.WEIGHTS / name)}")
    for part in [experiment, *config.branches(experiment)]:
        found |= model_code(part.model.name)
    return found


def model_code(name: str) -> dict[str, str]:
    """sha256 of the model's module and of those of ``pipeline/models`` that it imports."""
    files = reached(f"pipeline.models.{name}")
    return versions({file for file in files if "models" in file.parts})


def _embed(part: Experiment, model: Transfer, window: Window, folder: Path) -> None:
    """A store for each backbone of a model that has frozen ones."""
    from pipeline.models import transfer  # torch takes seconds to import
    from pipeline.training.dataset import Feature, Windows
    from pipeline.training.embeddings import pack

    ids = list(clips.good(clips.computed())["clip_id"])
    (kind,) = part.features
    feature = Feature.stored(Store(paths.FEATURES / kind), ids, window.of(kind))
    windows = Windows([feature], np.zeros(len(ids), dtype=np.int64))
    backbones = transfer.load_backbones(model, feature.describe())
    for name, backbone in zip(model.backbones, backbones, strict=True):
        pack(windows, ids, backbone, part.training, paths.embeddings(), folder / name)


if __name__ == "__main__":
    main(inputs, "key")
