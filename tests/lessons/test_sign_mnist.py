"""Kaggle's CSV: checked before it is used, and its labels are letters."""

import gzip
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lessons.common.pictures import paths
from lessons.common.pictures.config import Data
from lessons.common.pictures.sources import sign_mnist, sign_mnist_kaggle
from lessons.common.pictures.sources.sign_mnist import LETTERS, PIXELS, fetch, read
from pipeline.sources import SourceError

SETTINGS = Data(source="sign-mnist")


def rows(labels: list[int]) -> pd.DataFrame:
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), len(PIXELS)))
    table = pd.DataFrame(pixels, columns=PIXELS)
    table.insert(0, "label", labels)
    return table


def refused(table: pd.DataFrame, folder: Path) -> str:
    table.to_csv(folder / "bad.csv", index=False)
    with pytest.raises(SourceError) as caught:
        read(folder / "bad.csv")
    assert "bad.csv" in str(caught.value)
    return str(caught.value)


def test_24_letters_without_j_and_z() -> None:
    """The tutorial says that "j" and "k" are left out; K is label 10."""
    assert "".join(LETTERS.values()) == "ABCDEFGHIKLMNOPQRSTUVWXY"
    assert len(LETTERS) == 24
    assert (LETTERS[0], LETTERS[10], LETTERS[24]) == ("A", "K", "Y")
    assert len(PIXELS) == 784


def test_a_row_becomes_a_picture_of_its_letter(checkout: Path) -> None:
    folder = checkout / paths.SIGN_MNIST
    folder.mkdir(parents=True)
    table = rows([3, 24, 3])
    table.to_csv(folder / "train.csv", index=False)
    with gzip.open(folder / "test.csv.gz", "wt") as stream:
        rows([10]).to_csv(stream, index=False)
    clips = fetch(checkout / "out", checkout, SETTINGS, 7)
    assert [(clip.label, Path(clip.path).name) for clip in clips] == [
        ("K", "test-00001.png"),
        ("D", "train-00001.png"),
        ("Y", "train-00002.png"),
        ("D", "train-00003.png"),
    ]
    picture = Image.open(checkout / "out" / Path(clips[1].path).relative_to(paths.IMAGES))
    np.testing.assert_array_equal(np.asarray(picture), table[PIXELS].iloc[0].to_numpy().reshape(28, 28))


def test_without_files_it_says_what_to_do(checkout: Path) -> None:
    with pytest.raises(SourceError, match=r"holds no .csv or .csv.gz files: copy or link"):
        fetch(checkout / "out", checkout, SETTINGS, 7)


@pytest.mark.parametrize("label", [9, 25, 255])
def test_a_label_that_is_no_letter_is_named_with_its_row(tmp_path: Path, label: int) -> None:
    message = refused(rows([0, 24, label]), tmp_path)
    assert f"row 3: label {label} is none of Kaggle's" in message


@pytest.mark.parametrize(("value", "shown"), [(256, "256"), (-1, "-1"), (0.5, "0.5"), ("x", "x"), (None, "nan")])
def test_a_wrong_pixel_is_named_with_its_row(tmp_path: Path, value: object, shown: str) -> None:
    table = rows([0, 1]).astype(object)
    table.loc[1, "pixel17"] = value
    assert f"row 2: pixel17 is {shown}, not a whole number from 0 to 255" in refused(table, tmp_path)


def test_wrong_columns_are_named(tmp_path: Path) -> None:
    assert "lacks pixel784" in refused(rows([0]).drop(columns="pixel784"), tmp_path)
    assert "lacks label" in refused(rows([0]).rename(columns={"label": "class"}), tmp_path)
    assert "has pixel785 besides" in refused(rows([0]).assign(pixel785=0), tmp_path)
    assert "has a header and no rows" in refused(rows([]), tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b broken"])
def test_no_csv_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv.gz").write_bytes(content)
    with pytest.raises(SourceError, match="is not readable as CSV"):
        read(tmp_path / "a.csv.gz")


def test_kaggle_without_kagglehub_says_what_to_do(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(SourceError, match="needs kagglehub: pip install kagglehub, or download"):
        sign_mnist_kaggle.fetch(checkout / "out", checkout, SETTINGS, 7)


def test_the_real_file_is_as_kaggle_says(shared: Path) -> None:
    """Darkest 0, brightest 255, 24 letters; labels up to 24, on which one-hot vectors of 24 would break."""
    table = read(shared / "data/sign-mnist/sign_mnist_test.csv.gz")
    assert len(table) == 7172
    assert (table[PIXELS].to_numpy().min(), table[PIXELS].to_numpy().max()) == (0, 255)
    assert table["label"].nunique() == 24
    assert table["label"].max() == 24
    assert Counter(table["label"].map(LETTERS))["A"] == 331


def test_labels_without_a_gap_are_refused(shared: Path) -> None:
    with pytest.raises(SourceError, match="label 9 is none of Kaggle's"):
        sign_mnist.read(shared / "data/sign-mnist/sign_mnist_train_sample.csv")
    assert len(read(shared / "data/sign-mnist/sign_mnist_train_sample_kaggle_labels.csv")) == 120
