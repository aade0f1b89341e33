"""The ``soundtrack`` command: what a person does around ``dvc repro``."""

import argparse
import io
import sys
from pathlib import Path

from pipeline.errors import UserError


def main() -> None:
    parser = argparse.ArgumentParser(prog="soundtrack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    bring = commands.add_parser(
        "import",
        help="bring a folder of music into the checkout as data/music, versioned with DVC",
        description="Bring FOLDER/<label>/**/<clip> into the checkout as data/music (linked where the file system "
        "can, else copied) and `dvc add` it. The folder itself is never changed.",
        epilog="Example: soundtrack import ~/Music/genres --groups artists.csv",
    )
    bring.add_argument("folder", type=Path, help="one sub-folder of audio files per label")
    bring.add_argument(
        "--groups",
        type=Path,
        metavar="CSV",
        help="what a split must not cut: columns path (or id) and group (or artist); blanks of a label are one group",
    )
    again = commands.add_parser(
        "repro",
        help="`dvc repro` with independent stages side by side",
        description="Reproduce pipelines as `dvc repro` does, with the same results, several stages at a time.",
        epilog="Example: soundtrack repro --jobs 2",
    )
    again.add_argument(
        "files",
        type=Path,
        nargs="*",
        default=[Path("dvc.yaml")],
        metavar="FILE",
        help="dvc.yaml of the pipelines (default: the checkout's own)",
    )
    again.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="stages at a time (default: %(default)s)"
    )
    search = commands.add_parser(
        "sweep",
        help="search for better params of an experiment",
        description="Try what params.yaml names under `sweeps`, scored on validation over all folds and seeds, never on "
        "test. Each trial is a run in MLflow below the sweep's own. An interrupted sweep goes on where it was.",
        epilog="Example: soundtrack sweep mlp --trials 80 --jobs 2 --apply",
    )
    search.add_argument("experiment", help="a key of `sweeps` in params.yaml")
    search.add_argument(
        "--trials",
        type=int,
        metavar="N",
        help="trials in all, those of earlier runs included (default: as params.yaml says)",
    )
    search.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="trials at a time (default: %(default)s)"
    )
    search.add_argument(
        "--apply",
        action="store_true",
        help="show what the best trial changes in params.yaml, and ask to change it",
    )
    search.add_argument("--yes", action="store_true", help="change it without asking")
    listen = commands.add_parser(
        "classify",
        help="what the best model makes of a folder of music",
        description="Predict the label of every song below FOLDER, or say that it is uncertain or out-of-distribution. Songs may "
        "be of any length. An interrupted run continues where it stopped; files that have not changed are not classified again.",
        epilog="Example: soundtrack classify ~/Music --playlists ~/Playlists --csv songs.csv",
    )
    listen.add_argument("folder", type=Path, help="music, in folders of any depth; or one file")
    listen.add_argument(
        "--top", type=int, default=3, metavar="N", help="labels shown of a song (default: %(default)s)"
    )
    listen.add_argument(
        "--precision",
        type=float,
        metavar="SHARE",
        help="share of confident predictions that must be right on validation; less gives more labels (default: the model's own)",
    )
    listen.add_argument("--csv", type=Path, metavar="FILE", help="write all probabilities as a table")
    listen.add_argument("--json", type=Path, metavar="FILE", help="the same as JSON")
    listen.add_argument(
        "--playlists", type=Path, metavar="DIR", help="write a playlist (M3U8) for each label"
    )
    listen.add_argument(
        "--write-tags",
        action="store_true",
        help="show which genre tags would change; with --yes, change them",
    )
    listen.add_argument(
        "--yes", action="store_true", help="write the tags; a backup of the old ones is kept here"
    )
    drop = commands.add_parser(
        "page",
        help="a page to try the best model: drop a song, see what it makes of it",
        description="Serve a page, to this machine alone, that shows of a song its spectrogram, the probabilities of "
        "labels over time, and the label. It runs the code that the model was made with.",
        epilog="Example: soundtrack page --port 8080",
    )
    drop.add_argument("--port", type=int, default=8000, metavar="N", help="(default: %(default)s)")
    server = commands.add_parser(
        "serve",
        help="the best model as a server, for other programs",
        description="`mlflow models serve`, for this machine alone: POST /invocations takes songs as the bytes of a file "
        "(column audio, base64) or as a path, and answers label, verdict and probabilities.",
        epilog="Example: soundtrack serve --port 5001 --workers 2",
    )
    server.add_argument("--port", type=int, default=5001, metavar="N", help="(default: %(default)s)")
    server.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that answer (default: %(default)s)"
    )
    back = commands.add_parser(
        "restore-tags",
        help="give files the genres back that --write-tags replaced",
        description="Write the genres that BACKUP holds into the files they came from.",
        epilog="Example: soundtrack restore-tags genres-before-20260102-030405.jsonl",
    )
    back.add_argument("backup", type=Path)
    commands.add_parser(
        "sync",
        help="send to MLflow what could not be sent while its server did not answer",
        description="Send to MLflow what stages could not send while its server did not answer. Any stage that logs "
        "does so too, before its own work.",
        epilog="Example: MLFLOW_TRACKING_URI=http://127.0.0.1:5000 soundtrack sync",
    )
    for asking in (listen, drop, server):
        asking.add_argument(
            "--model", metavar="URI", help="models:/<name>/<version>, or a folder (default: the champion)"
        )
    arguments = parser.parse_args()
    if arguments.command == "repro" and arguments.jobs < 1:
        again.error("--jobs: at least 1")
    if arguments.command == "sweep" and (
        arguments.jobs < 1 or (arguments.trials is not None and arguments.trials < 1)
    ):
        search.error("--jobs, --trials: at least 1")
    if arguments.command == "classify" and arguments.top < 1:
        listen.error("--top: at least 1")
    if arguments.command == "classify" and not 0 < (arguments.precision or 1) <= 1:
        listen.error("--precision: above 0, at most 1")
    if arguments.command in ("page", "serve") and arguments.port not in range(1, 65536):
        parser.error("--port: from 1 to 65535")
    if arguments.command == "serve" and arguments.workers < 1:
        server.error("--workers: at least 1")

    if isinstance(sys.stdout, io.TextIOWrapper):
        # names of files need not be text that can be written here
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        COMMANDS[arguments.command](arguments)
    except UserError as error:
        sys.exit(f"error: {error}")


def _import(arguments: argparse.Namespace) -> None:
    from pipeline.data.importing import import_folder

    print(import_folder(arguments.folder, arguments.groups))


def _repro(arguments: argparse.Namespace) -> None:
    from pipeline.workflow import scheduler

    if not scheduler.repro(arguments.jobs, arguments.files):
        print("Data and pipelines are up to date.")


def _sweep(arguments: argparse.Namespace) -> None:
    from pipeline.sweeps import command

    command.sweep(arguments)


def _classify(arguments: argparse.Namespace) -> None:
    from pipeline.library import commands

    commands.classify(arguments)


def _page(arguments: argparse.Namespace) -> None:
    from pipeline.library import commands

    commands.page(arguments)


def _serve(arguments: argparse.Namespace) -> None:
    from pipeline.library import commands

    commands.serve(arguments)


def _restore_tags(arguments: argparse.Namespace) -> None:
    from pipeline.library import commands

    commands.restore_tags(arguments)


def _sync(arguments: argparse.Namespace) -> None:  # noqa: ARG001
    from pipeline import tracking

    sent, left = tracking.sync()
    if left:
        raise UserError(
            f"{sent} entries were sent to {tracking.uri()}, and {left} still wait: it does not answer"
        )
    print(f"{sent} entries were sent to {tracking.uri()}; nothing waits")


COMMANDS = {
    "import": _import,
    "repro": _repro,
    "sweep": _sweep,
    "classify": _classify,
    "page": _page,
    "serve": _serve,
    "restore-tags": _restore_tags,
    "sync": _sync,
}


if __name__ == "__main__":
    main()
