"""The ``soundtrack`` command: what a person does around ``dvc repro``."""

import argparse
import sys
from pathlib import Path


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
        description="Reproduce the pipeline as `dvc repro` does, with the same results, several stages at a time.",
        epilog="Example: soundtrack repro --jobs 2 (with training.threads: 1 in params.yaml on two cores)",
    )
    again.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="stages at a time (default: %(default)s)"
    )
    arguments = parser.parse_args()
    if arguments.command == "repro" and arguments.jobs < 1:
        again.error("--jobs: at least 1")

    from pipeline import side_by_side
    from pipeline.data.importing import import_folder
    from pipeline.errors import UserError

    try:
        if arguments.command == "repro":
            side_by_side.repro(arguments.jobs)
        else:
            print(import_folder(arguments.folder, arguments.groups))
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
