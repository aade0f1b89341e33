"""Write values into params.yaml; everything else, comments too, stays as it is."""

import difflib
import io
from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.representer import RoundTripRepresenter

from pipeline import config
from pipeline.base import paths
from pipeline.base.files import write_text


class Representer(RoundTripRepresenter):
    """Writes None as ``null``; ruamel.yaml leaves it empty."""


Representer.add_representer(
    type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
)


def apply(key: str, values: Mapping[str, Any], yes: bool) -> None:
    """Show the changes of params.yaml, and make them if the user agrees."""
    before = paths.PARAMS.read_text(encoding="utf-8")
    after = changed(before, key, values)
    if after == before:
        print(f"{paths.PARAMS} already has the best values.")
        return
    names = f"{paths.PARAMS} now", f"{paths.PARAMS} then"
    print(*difflib.unified_diff(before.splitlines(), after.splitlines(), *names, n=2, lineterm=""), sep="\n")
    if not yes and not _agreed():
        print(f"{paths.PARAMS} was not changed. --apply --yes changes it without asking.")
        return
    write_text(paths.PARAMS, after)
    print(f"{paths.PARAMS} was changed. `make repro` trains {key} with it.")


def changed(text: str, key: str, values: Mapping[str, Any]) -> str:
    """The text of params.yaml with these values, by dotted key, in the experiment's block.

    Values that the experiment already has, also by a default of ``training``, are not written.
    """
    present = config.find_block("experiments", _parsed(text).experiments, key)
    new = {name: value for name, value in values.items() if value != config.at(present, name)}
    return rewritten(text, {("experiments", key, *name.split(".")): value for name, value in new.items()})


def rewritten(text: str, values: Mapping[tuple[str, ...], Any]) -> str:
    """The text of params.yaml with these values, by their keys.

    Raises:
        ParamsError: the values are not allowed.
    """
    yaml = YAML()
    yaml.Representer = Representer
    yaml.width = 4096  # characters: no line is broken
    yaml.preserve_quotes = True
    tree = yaml.load(text)
    for place, value in values.items():
        _put(tree, place, value)
    stream = io.StringIO()
    yaml.dump(tree, stream)
    _parsed(stream.getvalue())
    return stream.getvalue()


def _put(section: Any, key: Sequence[str], value: Any) -> None:
    """Set the value in the style of what is there; missing sections are created."""
    first, *rest = key
    if rest:
        if section.get(first) is None:
            _add(section, first, _flow(CommentedMap()))
        _put(section[first], rest, value)
    elif isinstance(value, list) and isinstance(section.get(first), list):
        section[first][:] = value  # a comment behind it belongs to the list
    elif first in section:
        section[first] = value
    else:
        _add(section, first, _flow(CommentedSeq(value)) if isinstance(value, list) else value)


def _add(section: Any, key: str, value: Any) -> None:
    """At the end in braces, else at the start: a comment below the last line belongs to what follows."""
    section.insert(len(section) if section.fa.flow_style() else 0, key, value)


def _flow(collection: Any) -> Any:
    collection.fa.set_flow_style()
    return collection


def _agreed() -> bool:
    try:
        return input("Change it? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:  # no terminal to ask at
        return False


def _parsed(text: str) -> config.Params:
    return config.parse(YAML(typ="safe", pure=True).load(text), paths.PARAMS.name)
