"""``soundtrack classify``, ``page``, ``serve`` and ``restore-tags``: using the champion.

What only some options need is imported where it is used: the first song waits for the rest.
"""

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from pipeline.base import paths
from pipeline.base.addresses import HOST, check_free
from pipeline.base.errors import UserError
from pipeline.base.files import check_writable
from pipeline.base.text import counted
from pipeline.data.urls import Url
from pipeline.library import batch, output
from pipeline.library.answering import answered, chosen
from pipeline.library.batch import Song
from pipeline.serving import manifest
from pipeline.serving.manifest import Summary
from pipeline.tracking.registry import Registered


def classify(
    folder: Path | Url,
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
    if isinstance(folder, Url) and genres:
        raise UserError("tags can be written to files here alone, not at a URL")
    files, others = batch.find_at(folder) if isinstance(folder, Url) else batch.find(folder)
    songs, answering = answered(files, uri)
    models = {model.uri: _summary(model, precision) for model in answering}
    if precision is not None:
        songs = [song.at_threshold(models[song.model].confidence_threshold) for song in songs]
    print(*output.lines(songs, folder, top, models), sep="\n")
    if others:
        print(f"{counted(others, 'other file')} skipped (not audio).")
    print(*_answers(songs, models), sep="\n")
    if csv:
        output.write_csv(songs, models, csv)
        print(f"Table: {csv}")
    if json:
        output.write_json(songs, models, json)
        print(f"JSON: {json}")
    if m3u:
        written = output.write_playlists(songs, m3u)
        print(f"{counted(len(written), 'playlist')} in {m3u}.")
    if genres:
        write_tags(songs, yes)
    if not (csv or json or m3u or genres) and any(song.confident for song in songs):
        print("Next: --playlists FOLDER writes a playlist for each label, --csv FILE a table, --write-tags genre tags.")


def _summary(model: Registered, precision: float | None) -> Summary:
    """What the model says of itself, with the confidence threshold for this precision in place of its own."""
    known = manifest.summary(model.bundle)
    if precision is None:
        return known
    from pipeline.evaluation import calibration

    seen = manifest.seen(model.bundle)
    threshold, _ = calibration.confidence_threshold(seen[seen["part"] == "valid"], precision)
    return known.model_copy(update={"target_precision": precision, "confidence_threshold": threshold})


def _answers(songs: Sequence[Song], models: Mapping[str, Summary]) -> list[str]:
    """Which model answered which songs."""
    counts = Counter(song.model for song in songs)
    told = [f"Model: {uri} ({known.experiment}), {counted(counts[uri], 'song')}." for uri, known in models.items()]
    if len(models) > 1:
        told.append(
            "Songs unlike the champion's training data were named by the pre-trained tagger. "
            "One model for all: --model champion or --model tags."
        )
    return told


def page(uri: str | None, port: int, labels: Path | None = None) -> None:
    """Become the process that serves the page, with the model's own code.

    Args:
        labels: a table of suggested labels; by default the one of that name in the working folder.

    Raises:
        UserError: there is no model, its code has no page, the port is in use, or the table cannot be used.
    """
    check_free(port, "page")
    model = chosen(uri)
    known = manifest.summary(model.bundle)
    module = known.interface.page
    if not (model.code / module.replace(".", "/")).with_suffix(".py").is_file():
        raise UserError(f"the code of model {model.version} has no page: `make repro` makes a model that has")
    print(f"Model: {model.uri} ({known.experiment}).")
    table = _table(labels, model, module)
    print(f"Open http://127.0.0.1:{port} in a few seconds (Ctrl+C stops it)", flush=True)
    path = os.pathsep.join(filter(None, [str(model.code), os.environ.get("PYTHONPATH")]))
    # -P: else the working folder, perhaps a checkout of other code, would come before that path
    os.execve(
        sys.executable,
        [sys.executable, "-P", "-m", module, str(model.bundle), "--port", str(port), *table],
        {**os.environ, "PYTHONPATH": path},
    )


def _table(labels: Path | None, model: Registered, module: str) -> list[str]:
    """The page's option for the table of suggested labels; none where there is none that it can show.

    Raises:
        UserError: the table that the user gave cannot be used, or the model's page has no tab for it.
    """
    from pipeline.serving import suggestions

    file = labels or paths.SUGGESTED
    if labels is None and not file.exists():
        return []
    try:
        table = suggestions.read(file)
        # the page is of the model's code: an earlier one knows no such option
        if not (model.code / module.replace(".", "/")).with_name("labelling.py").is_file():
            raise UserError(f"the code of model {model.version} has no tab Label: `make repro` makes a model that has")
        print(f"Tab Label: {counted(len(table.rows), 'song')} of {table.folder}, by {file}.")
    except UserError as error:
        if labels is not None:
            raise
        print(f"Without the tab Label for {file}: {error}.")
        return []
    return ["--labels", str(file)]


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


def write_tags(songs: list[Song], yes: bool) -> None:
    """Show which genres would change, or change them."""
    from pipeline.library import tags
    from pipeline.library.genres import TagError

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
    from pipeline.library import tags
    from pipeline.library.genres import TagError

    done = list(tags.restore(backup))
    problems = [one for one in done if isinstance(one, TagError)]
    print(f"Genres restored in {counted(len(done) - len(problems), 'file')}.")
    if problems:
        raise UserError("\n".join(str(problem) for problem in problems))
