"""``soundtrack classify``, ``page``, ``serve`` and ``restore-tags``: using the champion."""

import argparse
import os
import sys
from datetime import datetime
from pathlib import Path

import pandas as pd

from pipeline import config, paths
from pipeline.errors import UserError
from pipeline.library import batch, output, tags
from pipeline.library.batch import Song
from pipeline.library.output import counted
from pipeline.serving import manifest, selective
from pipeline.tracking import registry
from pipeline.tracking.registry import Registered


def classify(arguments: argparse.Namespace) -> None:
    """
    Raises:
        UserError: there is no music, or no model.
    """
    files, others = batch.find(arguments.folder)
    model = chosen(arguments.model)
    known = manifest.summary(model.bundle)
    songs = batch.classify(files, model, paths.cache() / "classified")
    if arguments.precision is not None:
        seen = pd.read_parquet(model.bundle / manifest.SEEN)
        threshold, _ = selective.threshold(seen[seen["part"] == "valid"], arguments.precision)
        known = known.model_copy(
            update={"target_precision": arguments.precision, "confidence_threshold": threshold}
        )
        songs = [song.at_threshold(threshold) for song in songs]
    print(*output.lines(songs, arguments.folder, arguments.top, known), sep="\n")
    if others:
        print(f"{counted(others, 'other file')} skipped (not audio).")
    print(f"Model: {known.experiment}, version {model.version}.")
    if arguments.csv:
        output.write_csv(songs, known, arguments.csv)
    if arguments.json:
        output.write_json(songs, arguments.json)
    if arguments.playlists:
        written = output.write_playlists(songs, arguments.playlists)
        print(f"{counted(len(written), 'playlist')} in {arguments.playlists}.")
    if arguments.write_tags:
        write_tags(songs, arguments.yes)


def page(arguments: argparse.Namespace) -> None:
    """Become the process that serves the page, with the model's own code.

    Raises:
        UserError: there is no model, or its code has no page.
    """
    model = chosen(arguments.model)
    known = manifest.summary(model.bundle)
    module = known.interface.page
    if not (model.code / module.replace(".", "/")).with_suffix(".py").is_file():
        raise UserError(f"the code of model {model.version} has no page: `make repro` makes a model that has")
    print(f"Model: {known.experiment}, version {model.version}.")
    print(f"Open http://127.0.0.1:{arguments.port} in a few seconds (Ctrl+C stops it)", flush=True)
    path = os.pathsep.join(filter(None, [str(model.code), os.environ.get("PYTHONPATH")]))
    # -P: else the working folder, perhaps a checkout of other code, would come before that path
    os.execve(
        sys.executable,
        [sys.executable, "-P", "-m", module, str(model.bundle), "--port", str(arguments.port)],
        {**os.environ, "PYTHONPATH": path},
    )


def serve(arguments: argparse.Namespace) -> None:
    """Become MLflow's server of the model, which runs the model's own code.

    Raises:
        UserError: there is no model.
    """
    model = chosen(arguments.model)
    program = str(Path(sys.executable).with_name("mlflow"))
    place = ["--host", "127.0.0.1", "--port", str(arguments.port), "--workers", str(arguments.workers)]
    os.execv(
        program,
        [program, "models", "serve", "--model-uri", str(model.folder), "--env-manager", "local", *place],
    )


def chosen(uri: str | None) -> Registered:
    """The model given, by default the champion.

    Raises:
        UserError: there is none.
    """
    if uri is not None:
        return registry.model(uri)
    name = config.load_sound().champion.name
    found = registry.champion(name)
    if found is None:
        raise UserError(
            f"{name!r} has no champion yet: `make repro` makes one, or says in reports/model-card.md why not"
        )
    return found


def write_tags(songs: list[Song], yes: bool) -> None:
    """Show which genres would change, or change them."""
    found = list(tags.changes(songs))
    planned = [one for one in found if isinstance(one, tags.Change)]
    problems = [one for one in found if isinstance(one, tags.TagError)]
    if yes and planned:
        backup = Path(f"genres-before-{datetime.now():%Y%m%d-%H%M%S}.jsonl")
        failed = list(tags.apply(planned, backup))
        problems += failed
        print(
            f"Genres written to {counted(len(planned) - len(failed), 'file')}. To undo: soundtrack restore-tags {backup}"
        )
    else:
        for change in planned:
            print(f"{change.file}: genre {', '.join(change.old) or 'none'} -> {', '.join(change.new)}")
        print(f"{counted(len(planned), 'file')} would change. Nothing was written: add --yes to write.")
    for problem in problems:
        print(f"not written: {problem}")


def restore_tags(arguments: argparse.Namespace) -> None:
    """
    Raises:
        UserError: the backup is missing or not one, or a file could not be written.
    """
    done = list(tags.restore(arguments.backup))
    problems = [one for one in done if isinstance(one, tags.TagError)]
    print(f"Genres restored in {counted(len(done) - len(problems), 'file')}.")
    if problems:
        raise UserError("\n".join(str(problem) for problem in problems))
