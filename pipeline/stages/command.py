"""``python -m <package> <stage> [<key>]``: runs one stage on the params of its project."""

import argparse
import importlib
import importlib.util
import inspect
import logging
import pkgutil
from collections.abc import Callable

from pipeline import stages
from pipeline.stages import in_words


def main(package: str, load: Callable[[], object], project: str = ".") -> None:
    """
    Args:
        package: has the project's own stages; all others are those of ``pipeline.stages``.
        load: reads the params, which a stage's function gets first.
        project: the folder of the DVC project, from the folder in which its commands run.
    """
    own = importlib.import_module(package)
    folders = [*own.__path__, *stages.__path__]
    names = sorted({module.name for module in pkgutil.iter_modules(folders)} - {"__main__", "command"})
    there = "" if project == "." else f"--cd {project} "
    parser = argparse.ArgumentParser(
        prog=f"python -m {package}", epilog=f"DVC usually runs it, and caches the outputs: dvc {there}repro"
    )
    parser.add_argument("stage", choices=names, metavar="stage", help=", ".join(names))
    parser.add_argument("key", nargs="?", help="the experiment or the weights, where a stage has one")
    given = parser.parse_args()
    home = package if importlib.util.find_spec(f"{package}.{given.stage}") else stages.__name__
    stage = getattr(importlib.import_module(f"{home}.{given.stage}"), given.stage)
    wanted = len(inspect.signature(stage).parameters) - 1
    keys = [given.key] if given.key else []
    if len(keys) != wanted:
        parser.error(f"stage {given.stage} needs a key" if wanted else f"stage {given.stage} takes no key")
    logging.basicConfig(format="%(message)s")
    logging.getLogger("pipeline").setLevel(logging.INFO)
    with in_words():
        stage(load(), *keys)
