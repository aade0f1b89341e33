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
    arguments = parser.parse_args()

    from pipeline.data.importing import import_folder
    from pipeline.errors import UserError

    try:
        print(import_folder(arguments.folder, arguments.groups))
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
