"""Write down which modules each stage imports, and their versions.

DVC does not follow imports. A stage depends on its own small file here, so it reruns when a module that it uses
has changed, and not when another has; and dvc.lock, which DVC reads and writes around each stage, stays short.
"""

from pathlib import Path

from pipeline import paths
from pipeline.config.project import Params
from pipeline.features import extract
from pipeline.files import write_json
from pipeline.stages import main
from pipeline.workflow import dependencies

HELPERS = ("__init__", "__main__", "command")
"""Modules beside the stages that are no stages."""


def code(settings: Params) -> None:
    for stage in stages():
        write_json(paths.CODE / f"{stage}.json", versions(stage, settings))


def stages() -> list[str]:
    """All but this one."""
    names = {file.stem for file in Path(__file__).parent.glob("*.py")}
    return sorted(names - {*HELPERS, Path(__file__).stem})


def versions(stage: str, settings: Params) -> dict[str, str]:
    """sha256 by file of all that a stage imports; of models, what an experiment uses stands in its inputs."""
    return dependencies.versions(dependencies.reached(f"pipeline.stages.{stage}", *_by_name(stage, settings)))


def _by_name(stage: str, settings: Params) -> list[str]:
    """Modules that a stage picks by a name in params.yaml, which no import statement shows."""
    if stage == "download":
        return [f"pipeline.data.sources.{settings.data.source.replace('-', '_')}"]
    if stage == "features":
        return _of_features(settings)
    if stage == "champion":
        return ["pipeline.serving.pyfunc", *_of_features(settings)]
    return []


def _of_features(settings: Params) -> list[str]:
    return extract.modules(settings.features)


if __name__ == "__main__":
    main(code)
