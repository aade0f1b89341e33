"""Write down which versions of features and weights an experiment uses.

An experiment has any number of inputs, and a DVC stage a fixed list of dependencies: ``train`` depends on this
small file, so it reruns when one of its own inputs changed and not when another's did.
"""

from pipeline import params, paths
from pipeline.features.store import Store
from pipeline.files import sha256, write_json
from pipeline.stages import main


def inputs(key: str) -> None:
    experiment = params.experiment(params.load(), key)
    used = {f"features/{kind}": Store(paths.FEATURES / kind).spec["digest"] for kind in experiment.features}
    if isinstance(experiment.model, params.Transfer):
        folder = paths.WEIGHTS / experiment.model.backbone
        for file in sorted(folder.iterdir()):
            used[file.as_posix()] = sha256(file)
    write_json(paths.INPUTS / f"{key}.json", used)


if __name__ == "__main__":
    main(inputs, "key")
