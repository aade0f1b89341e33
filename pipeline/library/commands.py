"""``soundtrack classify`` and what goes with it: what a person asks of the champion."""

import os
import sys
from datetime import datetime
from pathlib import Path

from pipeline import config, paths
from pipeline.errors import UserError
from pipeline.library import batch, output, playlists, tags
from pipeline.library.batch import Song
from pipeline.serving import manifest, selective
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
    files, beside = batch.songs(folder)
    model = chosen(uri)
    known = manifest.load(model.package)
    songs = batch.classify(files, model, batch.kept(paths.cache() / "classified", model))
    if precision is not None:
        known = known.model_copy(
            update={
                "precision": precision,
                "sure": selective.threshold_of(model.package, precision),
            }
        )
        songs = [batch.judged(song, known.sure) for song in songs]
    print(*output.lines(songs, folder, top, known), sep="\n")
    if beside:
        print(f"{len(beside)} files beside them are no music (pictures, lists, texts).")
    print(f"Model: {known.experiment}, version {model.version}.")
    if csv:
        output.write_csv(songs, known, csv)
    if json:
        output.write_json(songs, json)
    if m3u:
        written = playlists.write(songs, m3u)
        print(f"{len(written)} playlists in {m3u}.")
    if genres:
        write_tags(songs, yes)


def page(uri: str | None, port: int) -> None:
    """Become the process that serves the page, with the model's own code.

    Raises:
        UserError: there is no model, or it is older than the page.
    """
    model = chosen(uri)
    if not (model.code / "pipeline/serving/webapp.py").is_file():
        raise UserError(
            f"model {model.version} was made before there was a page: `make repro` makes a new one"
        )
    known = manifest.load(model.package)
    print(f"Model: {known.experiment}, version {model.version}.")
    print(f"In a few seconds: http://127.0.0.1:{port} (Ctrl+C ends it)", flush=True)
    path = os.pathsep.join(filter(None, [str(model.code), os.environ.get("PYTHONPATH")]))
    # -P: the working folder, a checkout of other code perhaps, would come before that path
    module = [sys.executable, "-P", "-m", "pipeline.serving.webapp"]
    os.execve(
        sys.executable,
        [*module, str(model.package), "--port", str(port)],
        {**os.environ, "PYTHONPATH": path},
    )


def serve(uri: str | None, port: int, workers: int) -> None:
    """Become MLflow's server of the model, which runs the model's own code.

    Raises:
        UserError: there is no model.
    """
    model = chosen(uri)
    program = str(Path(sys.executable).with_name("mlflow"))
    place = ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    os.execv(
        program,
        [program, "models", "serve", "--model-uri", str(model.folder), "--env-manager", "local", *place],
    )


def chosen(uri: str | None) -> Registered:
    """The model asked for; by default the champion.

    Raises:
        UserError: there is none.
    """
    if uri is not None:
        return registry.model(uri)
    name = config.load().champion.name
    found = registry.champion(name)
    if found is None:
        raise UserError(
            f"there is no champion of {name!r} yet: `make repro` makes one, or says in reports/model-card.md why not"
        )
    return found


def write_tags(songs: list[Song], yes: bool) -> None:
    """Show which genres would change, or change them."""
    found = list(tags.changes(songs))
    planned = [one for one in found if isinstance(one, tags.Change)]
    problems = [one for one in found if isinstance(one, tags.TagError)]
    if yes and planned:
        backup = Path(f"genres-before-{datetime.now():%Y%m%d-%H%M%S}.jsonl")
        problems += tags.apply(planned, backup)
        print(
            f"Genres written to {len(planned)} files but for those named below. Back: soundtrack restore-tags {backup}"
        )
    else:
        for change in planned:
            print(f"{change.file}: genre {', '.join(change.old) or 'none'} -> {', '.join(change.new)}")
        print(f"{len(planned)} files would change, nothing was written; --write-tags --yes writes.")
    for problem in problems:
        print(f"not written: {problem}")


def restore_tags(backup: Path) -> None:
    """
    Raises:
        UserError: the backup is missing, or none; or a file could not be written.
    """
    done = list(tags.restore(backup))
    problems = [one for one in done if isinstance(one, tags.TagError)]
    print(f"{len(done) - len(problems)} files have their genres back.")
    if problems:
        raise UserError("\n".join(str(problem) for problem in problems))
