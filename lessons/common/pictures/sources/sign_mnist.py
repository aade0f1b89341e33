"""Sign Language MNIST: Kaggle's CSV files in ``data/sign-mnist``, ``label,pixel1,...,pixel784``, a row for each picture.

24 letters of the American manual alphabet; J and Z are movements, which no picture shows. The pictures were made from few
photographs (Kaggle says 1704), about 21 from each, by cropping, turning and changing the brightness: the audit finds
those that look the same, and a split that keeps groups together keeps them together.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from lessons.common.pictures import paths
from lessons.common.pictures.config import Data
from lessons.common.pictures.sources.pixels import write
from pipeline.sources import Clip, SourceError

SIDE = 28
PIXELS = [f"pixel{number}" for number in range(1, SIDE * SIDE + 1)]
BRIGHTEST = 255
LETTERS = {number: chr(ord("A") + number) for number in range(25) if number != 9}
"""By Kaggle's label: 0 is A, 24 is Y, and there is no 9, which would be J."""


def fetch(staging: Path, cache: Path, settings: Data, seed: int) -> list[Clip]:  # noqa: ARG001
    """A PNG of each row.

    Raises:
        SourceError: there are no CSV files, or one is not as Kaggle's are.
    """
    return pictures(
        paths.SIGN_MNIST, staging, "copy or link Kaggle's sign_mnist_train.csv and sign_mnist_test.csv there"
    )


def pictures(folder: Path, staging: Path, cure: str) -> list[Clip]:
    """The pictures of all CSV files (also gzipped) that lie in ``folder``.

    Raises:
        SourceError: there are none, and ``cure`` says what to do; or one is not as Kaggle's are.
    """
    files = sorted([*folder.glob("*.csv"), *folder.glob("*.csv.gz")])
    if not files:
        raise SourceError(f"{folder} holds no .csv or .csv.gz files: {cure}")
    return [clip for file in files for clip in _pictures(file, staging)]


def _pictures(file: Path, staging: Path) -> list[Clip]:
    table = read(file)
    stem = file.name.removesuffix(".gz").removesuffix(".csv")
    letters = table["label"].map(LETTERS)
    names = [f"{letter}/{stem}-{row:05}.png" for row, letter in enumerate(letters, start=1)]
    pixels = table[PIXELS].to_numpy(np.uint8).reshape(-1, SIDE, SIDE)
    write(staging, names, pixels)
    return [
        Clip(
            path=(paths.IMAGES / name).as_posix(),
            label=letter,
            group=name,
            origin="Sign Language MNIST",
            licence="CC0 by some copies, not stated by others",
        )
        for name, letter in zip(names, letters, strict=True)
    ]


def read(file: Path) -> pd.DataFrame:
    """The table, checked: ``label`` is a key of LETTERS, pixels are whole numbers from 0 to 255.

    Raises:
        SourceError: it is not; the message names the file, and the row where one is to blame.
    """
    try:
        table = pd.read_csv(file)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, EOFError, OSError) as error:
        raise SourceError(f"{file} is not readable as CSV: {error}") from None
    _check_columns(file, list(table))
    if table.empty:
        raise SourceError(f"{file} has a header and no rows")
    _check_numbers(file, table)
    unknown = table.index[~table["label"].isin(LETTERS)]
    if len(unknown):
        value = table["label"].iloc[unknown[0]]
        raise SourceError(
            f"{file}, row {unknown[0] + 1}: label {value} is none of Kaggle's, which are 0 (A) to 24 (Y) without 9 (J); "
            "J and Z are movements. Labels numbered 0 to 23 without a gap have to be raised by one from 9 on"
        )
    return table


def _check_columns(file: Path, columns: list[str]) -> None:
    wanted = ["label", *PIXELS]
    missing, odd = [name for name in wanted if name not in columns], sorted(set(columns) - set(wanted))
    if missing or odd:
        lacks = f"lacks {', '.join(missing[:3])}{' and more' if len(missing) > 3 else ''}" if missing else ""
        more = f"has {', '.join(odd[:3])}{' and more' if len(odd) > 3 else ''} besides" if odd else ""
        raise SourceError(
            f"{file} needs the columns label, pixel1 to pixel{len(PIXELS)}: it {' and '.join(filter(None, (lacks, more)))}"
        )


def _check_numbers(file: Path, table: pd.DataFrame) -> None:
    numbers = table.apply(pd.to_numeric, errors="coerce")
    wrong = numbers.isna() | (numbers % 1 != 0) | (numbers < 0) | (numbers > BRIGHTEST)
    if wrong.to_numpy().any():
        row, column = np.argwhere(wrong.to_numpy())[0]
        value = table.iloc[row, column]
        raise SourceError(
            f"{file}, row {row + 1}: {table.columns[column]} is {value}, not a whole number from 0 to {BRIGHTEST}"
        )
