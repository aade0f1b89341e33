"""The leaves of params.yaml, those of its commented-out blocks too, and the fields of the classes that read it."""

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import yaml
from pydantic import BaseModel

HEAD = re.compile(r"  # [\w-]+:(\s+#.*)?")
BODY = re.compile(r"  # {3,}\S.*")


def uncommented(text: str) -> str:
    """The file's text with the blocks that a person may take the marks away from; prose stays a comment."""
    lines, inside = [], False
    for line in text.splitlines():
        inside = bool(HEAD.fullmatch(line)) or (inside and bool(BODY.fullmatch(line)))
        lines.append(line.replace("# ", "", 1) if inside else line)
    return "\n".join(lines)


def content(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(uncommented(text))
    return found


def leaves(section: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Dotted names; a list is a leaf."""
    for key, value in section.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def path(params: Mapping[str, Any], leaf: str) -> list[str]:
    """The keys that lead to a leaf, some of which hold dots; what is not there yet has none."""
    parts = leaf.split(".")
    for end in range(len(parts), 0, -1):
        key = ".".join(parts[:end])
        if key in params:
            below = params[key]
            rest = ".".join(parts[end:])
            return [key, *(path(below if isinstance(below, dict) else {}, rest) if rest else [])]
    return parts


def changed(params: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with these values by leaf; sections that are missing are made."""
    made = copy.deepcopy(dict(params))
    for leaf, value in values.items():
        *above, last = path(made, leaf)
        section = made
        for key in above:
            section = section.setdefault(key, {})
        section[last] = copy.deepcopy(value)
    return made


def fields(kind: Any) -> set[str]:
    """``Training.epochs`` for each field of a config class and of all classes that its fields hold."""
    found: set[str] = set()
    todo, seen = [kind], set()
    while todo:
        one = todo.pop()
        todo += get_args(one)
        if isinstance(one, type) and issubclass(one, BaseModel) and one not in seen:
            seen.add(one)
            found |= {f"{one.__name__}.{name}" for name in one.model_fields}
            todo += [field.annotation for field in one.model_fields.values()]
    return found


def along(settings: BaseModel, keys: list[str]) -> set[str]:
    """The fields that a leaf's keys lead through, in params that were read."""
    found: set[str] = set()
    here: Any = settings
    for key in keys:
        if isinstance(here, BaseModel):
            found.add(f"{type(here).__name__}.{key}")
            here = getattr(here, key)
        elif isinstance(here, dict):
            here = here.get(key)
    return found
