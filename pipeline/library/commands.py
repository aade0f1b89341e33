"""``soundtrack classify``, ``page``, ``serve`` and ``restore-tags``: using the champion."""

import os
import sys
from datetime import datetime
from pathlib import Path

import pandas as pd

from pipeline import config
from pipeline.base import paths
from pipeline.base.addresses import HOST, check_free
from pipeline.base.errors import UserError
from pipeline.base.files import check_writable
from pipeline.base.text import counted
from pipeline.evaluation import calibration
from pipeline.library import batch, output, tags
from pipeline.library.batch import Song
from pipeline.library.genres import TagError
from pipeline.serving import manifest
from pipeline.tracking import registry
from pipeline.tracking.registry import Registered


def classify(
    folder: Path,
    uri: str | None,
    *,
    top: int,
    precision: float | None,
    csv: Path | None,
    json: Path | None,
    m3u: Path | None,
    genres: bool,
    yes: bool,
) -> None:
    """
    Raises:
        UserError: there is no music, or no model.
    """
    for target in filter(None, (csv and csv.parent, json and json.parent, m3u, Path() if genres and yes else None)):
        check_writable(target)
    for table in filter(None, (csv, json)):
        if table.is_dir():
            raise UserError(f"{table} is a folder: name a file in it")
    files, others = batch.find(folder)
    model = chosen(uri)
    known = manifest.summary(model.bundle)
    songs = batch.classify(files, model, paths.cache() / "classified")
    if precision is not None:
        seen = pd.read_parquet(model.bundle / manifest.SEEN)
        threshold, _ = calibration.confidence_threshold(seen[seen["part"] == "valid"], precision)
        known = known.model_copy(update={"target_precision": precision, "confidence_threshold": threshold})
        songs = [song.at_threshold(threshold) for song in songs]
    print(*output.lines(songs, folder, top, known), sep="\n")
    if others:
        print(f"{counted(others, 'other file')} skipped (not audio).")
    print(f"Model: {model.uri} ({known.experiment}).")
    if csv:
        output.write_csv(songs, known, csv)
        print(f"Table: {csv}")
    if json:
        output.write_json(songs, known, model.uri, json)
        print(f"JSON: {json}")
    if m3u:
        written = output.write_playlists(songs, m3u)
        print(f"{counted(len(written), 'playlist')} in {m3u}.")
    if genres:
        write_tags(songs, yes)
    if not (csv or json or m3u or genres) and any(song.confident for song in songs):
        print("Next: --playlists FOLDER writes a playlist for each label, --csv FILE a table, --write-tags genre tags.")


def page(uri: str | None, port: int) -> None:
    """Become the process that serves the page, with the model's own code.

    Raises:
        UserError: there is no model, its code has no page, or the port is in use.
    """
    check_free(port, "page")
    model = chosen(uri)
    known = manifest.summary(model.bundle)
    module = known.interface.page
    if not (model.code / module.replace(".", "/")).with_suffix(".py").is_file():
        raise UserError(f"the code of model {model.version} has no page: `make repro` makes a model that has")
    print(f"Model: {model.uri} ({known.experiment}).")
    print(f"Open http://127.0.0.1:{port} in a few seconds (Ctrl+C stops it)", flush=True)
    path = os.pathsep.join(filter(None, [str(model.code), os.environ.get("PYTHONPATH")]))
    # -P: else the working folder, perhaps a checkout of other code, would come before that path
    os.execve(
        sys.executable,
        [sys.executable, "-P", "-m", module, str(model.bundle), "--port", str(port)],
        {**os.environ, "PYTHONPATH": path},
    )


def serve(uri: str | None, port: int, workers: int, timeout: int) -> None:
    """Become MLflow's server of the model, which runs the model's own code.

    Raises:
        UserError: there is no model, or the port is in use.
    """
    check_free(port, "serve")
    model = chosen(uri)
    program = str(Path(sys.executable).with_name("mlflow"))
    place = ["--host", HOST, "--port", str(port), "--workers", str(workers), "--timeout", str(timeout)]
    os.execv(program, [program, "models", "serve", "--model-uri", str(model.folder), "--env-manager", "local", *place])


def chosen(uri: str | None) -> Registered:
    """The model given, by default the champion.

    Raises:
        UserError: there is none.
    """
    if uri is not None:
        return registry.model(uri)
    name = config.load().champion.name
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
    problems = [one for one in found if isinstance(one, TagError)]
    if yes and planned:
        backup = Path(f"genres-before-{datetime.now():%Y%m%d-%H%M%S}.jsonl")
        failed = list(tags.apply(planned, backup))
        problems += failed
        undo = f" To undo: soundtrack restore-tags {backup}" if len(failed) < len(planned) else ""
        print(f"Genres written to {counted(len(planned) - len(failed), 'file')}.{undo}")
    else:
        for change in planned:
            print(f"{change.file}: genre {', '.join(change.old) or 'none'} -> {', '.join(change.new)}")
        print(f"{counted(len(planned), 'file')} would change. Nothing was written: add --yes to write.")
    for problem in problems:
        print(f"not written: {problem}")


def restore_tags(backup: Path) -> None:
    """
    Raises:
        UserError: the backup is missing or not one, or a file could not be written.
    """
    done = list(tags.restore(backup))
    problems = [one for one in done if isinstance(one, TagError)]
    print(f"Genres restored in {counted(len(done) - len(problems), 'file')}.")
    if problems:
        raise UserError("\n".join(str(problem) for problem in problems))
