"""The ``soundtrack`` command: what a person does around ``dvc repro``."""

import argparse
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
    commands.add_parser(
        "sync",
        help="send to MLflow what could not be sent while its server did not answer",
        description="Send to MLflow what stages could not send while its server did not answer. Any stage that logs "
        "does so too, before its own work.",
        epilog="Example: MLFLOW_TRACKING_URI=http://127.0.0.1:5000 soundtrack sync",
    )
    arguments = parser.parse_args()
    if arguments.command == "repro" and arguments.jobs < 1:
        again.error("--jobs: at least 1")

    try:
        COMMANDS[arguments.command](arguments)
    except UserError as error:
        sys.exit(f"error: {error}")


def _import(arguments: argparse.Namespace) -> None:
    from pipeline.data.importing import import_folder

    print(import_folder(arguments.folder, arguments.groups))


def _repro(arguments: argparse.Namespace) -> None:
    from pipeline import side_by_side

    if not side_by_side.repro(arguments.jobs, arguments.files):
        print("Data and pipelines are up to date.")


def _sync(arguments: argparse.Namespace) -> None:  # noqa: ARG001
    from pipeline import tracking

    sent, left = tracking.sync()
    if left:
        raise UserError(
            f"{sent} entries were sent to {tracking.uri()}, and {left} still wait: it does not answer"
        )
    print(f"{sent} entries were sent to {tracking.uri()}; nothing waits")


COMMANDS = {"import": _import, "repro": _repro, "sync": _sync}


if __name__ == "__main__":
    main()
