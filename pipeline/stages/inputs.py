"""Write down what each experiment is trained on, and compute the embeddings of its frozen backbones.

A DVC stage has a fixed list of dependencies and an experiment any number of features and weights. So ``train`` depends on
one small file that is written here: it runs again when one of its own inputs changed, and not when another's did.
"""

from pipeline.base import paths
from pipeline.base.files import atomic_write, write_json
from pipeline.config.project import BaseParams
from pipeline.training.packing import pack_branches
from pipeline.training.recipe import inputs as inputs_of


def inputs(settings: BaseParams) -> None:
    with atomic_write(paths.INPUTS) as inputs, atomic_write(paths.EMBEDDINGS) as embeddings:
        inputs.mkdir()
        embeddings.mkdir()
        # DVC warns of empty folders
        (embeddings / "about.txt").write_text("Of frozen backbones, by experiment.\n", encoding="utf-8")
        for key, experiment in settings.experiments.items():
            write_json(inputs / f"{key}.json", inputs_of(experiment))
            pack_branches(experiment, settings.window, embeddings / key)
