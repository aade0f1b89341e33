"""Write down which modules each stage imports, and their versions.

DVC does not follow imports. A stage depends on its own small file here, so it reruns when a module that it uses
has changed, and not when another has; and dvc.lock, which DVC reads and writes around each stage, stays short.
"""

from pathlib import Path
from typing import get_args

from pipeline import params, paths
from pipeline.files import sha256, write_json
from pipeline.imports import reached
from pipeline.stages import main

HELPERS = ("__init__", "recording", "resuming")
"""Modules beside the stages that are no stages."""


def code() -> None:
    source = params.load().data.source
    for stage in stages():
        write_json(paths.CODE / f"{stage}.json", versions(stage, source))


def stages() -> list[str]:
    """All but this one."""
    names = {file.stem for file in Path(__file__).parent.glob("*.py")}
    return sorted(names - {*HELPERS, Path(__file__).stem})


def versions(stage: str, source: str) -> dict[str, str]:
    """sha256 by file of all that a stage imports; of models, what an experiment uses stands in its inputs."""
    files = reached(f"pipeline.stages.{stage}", *_by_name(stage, source))
    return {file.as_posix(): sha256(file) for file in sorted(files)}


def _by_name(stage: str, source: str) -> list[str]:
    """Modules that a stage picks by a name in params.yaml, which no import statement shows."""
    if stage == "download":
        return [f"pipeline.data.sources.{source.replace('-', '_')}"]
    if stage == "features":
        return [f"pipeline.features.{kind}" for kind in get_args(params.FeatureKind)]
    return []


if __name__ == "__main__":
    main(code)
