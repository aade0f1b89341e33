"""Put what a sweep found into params.yaml, where all that was not changed stays as it stands, comments too."""

import difflib
import io
from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.representer import RoundTripRepresenter

from pipeline import config, paths
from pipeline.files import write_text

WIDEST = 4096
"""Characters of a line before it is broken."""


class Representer(RoundTripRepresenter):
    """Writes nothing as ``null``, as params.yaml does, and not as nothing."""


Representer.add_representer(
    type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
)


def apply(key: str, values: Mapping[str, Any], yes: bool) -> None:
    """Show what changes in params.yaml, and change it if told to."""
    before = paths.PARAMS.read_text(encoding="utf-8")
    after = changed(before, key, values)
    if after == before:
        print(f"{paths.PARAMS} has the best values already.")
        return
    print(diff(before, after))
    if not yes and not _agreed():
        print(f"{paths.PARAMS} was not changed; --apply --yes changes it without asking.")
        return
    write_text(paths.PARAMS, after)
    print(f"{paths.PARAMS} is changed: `make repro` trains {key} with it.")


def diff(before: str, after: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(),
        after.splitlines(),
        f"{paths.PARAMS} now",
        f"{paths.PARAMS} then",
        n=2,
        lineterm="",
    )
    return "\n".join(lines)


def changed(text: str, key: str, values: Mapping[str, Any]) -> str:
    """The text of params.yaml with these values, by dotted key, in the experiment's block.

    What the experiment has already, be it by a default of ``training``, is not written.
    """
    present = config.find_experiment(_parsed(text), key)
    new = {name: value for name, value in values.items() if value != config.at(present, name)}
    return rewritten(text, {("experiments", key, *name.split(".")): value for name, value in new.items()})


def rewritten(text: str, values: Mapping[tuple[str, ...], Any]) -> str:
    """The text of params.yaml with these values, by the keys that lead to each; all else stays as it stands.

    Raises:
        ParamsError: they are impossible.
    """
    yaml = YAML()
    yaml.Representer = Representer
    yaml.width = WIDEST
    yaml.preserve_quotes = True
    tree = yaml.load(text)
    for place, value in values.items():
        _put(tree, place, value)
    stream = io.StringIO()
    yaml.dump(tree, stream)
    _parsed(stream.getvalue())
    return stream.getvalue()


def _put(section: Any, key: Sequence[str], value: Any) -> None:
    """Set the value, in the style of what is there; sections that are missing are made."""
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
    """Behind the others in braces, else in front: below the last line may stand a comment on what follows."""
    section.insert(len(section) if section.fa.flow_style() else 0, key, value)


def _flow(collection: Any) -> Any:
    collection.fa.set_flow_style()
    return collection


def _agreed() -> bool:
    try:
        return input("Change it? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:  # nobody is there to ask
        return False


def _parsed(text: str) -> config.Params:
    return config.parse(YAML(typ="safe", pure=True).load(text), paths.PARAMS.name)
