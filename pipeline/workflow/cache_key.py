"""What decides a result, as one short key: params, data, code and library versions. Another key means: make it again.

Features, embeddings, checkpoints, sweeps and registered models all go by it. Code is named by module and never by path,
so a module that was moved is an error here, and not a key that no longer notices its changes.
"""

import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from pipeline.workflow.dependencies import PACKAGE, reached, versions


def cache_key(*ingredients: Any) -> str:
    """16 hex digits of sections of params.yaml, of digests, and of whatever else has a form in JSON.

    Raises:
        TypeError: an ingredient has none.
    """
    text = json.dumps(ingredients, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code(*modules: str, within: Sequence[ModuleType]) -> dict[str, str]:
    """sha256 by file of the modules and of what they import from the modules and packages ``within``.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    places = [_place(module) for module in within]
    files = reached(*modules)
    return versions(file for file in files if any(file == place or place in file.parents for place in places))


def libraries(*names: str) -> dict[str, str]:
    """Installed versions."""
    return {name: version(name) for name in names}


def _place(module: ModuleType) -> Path:
    """The folder of a package or the file of a module, relative to the checkout."""
    file = Path(str(module.__file__)).relative_to(PACKAGE.parent)
    return file.parent if hasattr(module, "__path__") else file


def _plain(ingredient: Any) -> Any:
    if isinstance(ingredient, BaseModel):
        return ingredient.model_dump()
    raise TypeError(f"{type(ingredient).__name__} has no form in JSON")
