"""``python -m pipeline.stages <stage> [<experiment>]``: what DVC runs for each stage.

A stage is a function with the name of its module, which is given the params and, where it is one of several, the name of
its experiment. What it returns, if anything, is its result in a few words; it is printed behind the stage's name, where
:mod:`pipeline.workflow.console` finds it.
"""

import argparse
import importlib.util
import inspect
import pkgutil
import signal
import sys
from collections.abc import Callable

from pipeline.base import paths
from pipeline.base.errors import reported
from pipeline.workflow import console, prefork

CORE = "pipeline.stages"


def main(package: str, load: Callable[..., object], project: str = ".") -> None:
    """Run a stage of ``package``, or of the core's stages where the package has no module of this name.

    Args:
        load: reads and checks the params, in the working folder.
        project: the folder of the DVC project, for the example that ``--help`` gives.
    """
    stages = _stages(package)
    there = "" if project == "." else f"--cd {project} "
    parser = argparse.ArgumentParser(
        prog=f"python -m {package}",
        description="Run one stage of the pipeline. DVC does so, and saves what it writes.",
        epilog=f"Example: dvc {there}repro train@mlp",
    )
    parser.add_argument("stage", choices=stages, metavar="stage", help=", ".join(stages))
    parser.add_argument("key", nargs="?", help="of the experiment, as params.yaml names it")
    arguments = parser.parse_args()
    names = [arguments.stage, *([arguments.key] if arguments.key else [])]
    if prefork.serves(arguments.stage):
        code = prefork.ask(package, names)
        sys.exit(f"{console.ERROR}{console.KILLED}" if code == -signal.SIGKILL else code)
    console.log()
    paths.user_cache()  # for numba, and for all processes to come
    own = importlib.util.find_spec(f"{package}.{arguments.stage}")
    module = importlib.import_module(f"{package if own else CORE}.{arguments.stage}")
    stage = getattr(module, arguments.stage)
    has_key = len(inspect.signature(stage).parameters) == 2
    if has_key != bool(arguments.key):
        wanted = "needs the name of an experiment or of weights" if has_key else "is one for all experiments"
        parser.error(f"the stage {arguments.stage} {wanted}")
    with reported():
        if result := stage(load(), *names[1:]):
            print(f"{'@'.join(names)}: {result}")


def _stages(package: str) -> list[str]:
    folders = [folder for name in {package, CORE} for folder in importlib.import_module(name).__path__]
    return sorted({module.name for module in pkgutil.iter_modules(folders)} - {"__main__", "command"})
