"""Write down which versions of features, weights and model code an experiment uses.

An experiment has any number of inputs, and a DVC stage a fixed list of dependencies: ``train`` depends on this
small file, so it reruns when one of its own inputs changed and not when another's did.
"""

from pipeline import params, paths
from pipeline.features.store import Store
from pipeline.files import sha256, write_json
from pipeline.imports import reached, versions
from pipeline.params import Experiment
from pipeline.stages import main


def inputs(key: str) -> None:
    write_json(paths.INPUTS / f"{key}.json", used(params.experiment(params.load(), key)))


def used(experiment: Experiment) -> dict[str, str]:
    """Digests by what they are of."""
    found = {f"features/{kind}": Store(paths.FEATURES / kind).spec["digest"] for kind in experiment.features}
    for name in params.backbones(experiment):
        found |= {file.as_posix(): sha256(file) for file in sorted((paths.WEIGHTS / name).iterdir())}
    for part in [experiment, *params.parts(experiment)]:
        found |= model_code(part.model.name)
    return found


def model_code(name: str) -> dict[str, str]:
    """sha256 of the model's module and of those of ``pipeline/models`` that it imports."""
    files = reached(f"pipeline.models.{name}")
    return versions({file for file in files if "models" in file.parts})


if __name__ == "__main__":
    main(inputs, "key")
