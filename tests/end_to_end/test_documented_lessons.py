"""The lessons' commands as their READMEs have them; see test_documented.py."""

import csv
import sqlite3
from pathlib import Path
from typing import Any

import documented
import numpy as np
import pandas as pd
import pytest
from checkouts import edit_params, ran, run
from documented import Typed

from lessons.common.pictures.sources.sign_mnist import LETTERS, PIXELS
from pipeline.base import paths
from pipeline.base.files import read_json

KAGGLEHUB = """
def dataset_download(name):
    assert name == "datamunge/sign-language-mnist"
    return {folder!r}
"""


def few_epochs(folder: Path, source: str, experiment: str) -> None:
    def change(content: dict[str, Any]) -> None:
        content["data"]["source"] = source
        content["weights"] = {name: {"source": "path", "path": "../../backbone"} for name in content["weights"]}
        content["experiments"] = {experiment: content["experiments"][experiment] | {"training": {"epochs": 2}}}
        content["features"]["image"]["size"] = 28

    edit_params(folder, change)


def make_signs(file: Path) -> None:
    """Kaggle's table of three letters, each with its own pattern in noise."""
    rng = np.random.default_rng(7)
    patterns = {number: rng.integers(0, 200, len(PIXELS)) for number in (0, 3, 24)}
    file.parent.mkdir()
    with file.open("w") as stream:
        writer = csv.writer(stream)
        writer.writerow(["label", *PIXELS])
        for number, pattern in patterns.items():
            for _ in range(12):
                writer.writerow([number, *np.clip(pattern + rng.integers(-55, 56, len(PIXELS)), 0, 255)])


def test_signs_from_kaggle_are_read_by_letter(checkout: Path, tmp_path: Path) -> None:
    """`data.source: sign-mnist-kaggle`, with a package in place of kagglehub."""
    make_signs(tmp_path / "kaggle/sign_mnist_train.csv")
    (tmp_path / "kagglehub.py").write_text(KAGGLEHUB.format(folder=str(tmp_path / "kaggle")))
    lesson = checkout / "lessons/sign-language"
    few_epochs(lesson, "sign-mnist-kaggle", "mlp")
    env = {"PYTHONPATH": f"{tmp_path}:{checkout}"}
    assert "download" in ",".join(ran(run(lesson, "dvc", "repro", "audit", variables=env)))
    clips = pd.read_parquet(lesson / paths.CLIPS)
    assert clips["label"].value_counts().to_dict() == {LETTERS[number]: 12 for number in (0, 3, 24)}


SIGNS = ("cd lessons/sign-language", "ln -s ~/sign-language-mnist data/sign-mnist", "dvc repro")


@pytest.mark.documented(*SIGNS)
def test_pictures_of_hands_are_linked_and_learned(checkout: Path, typed: Typed, tmp_path: Path) -> None:
    make_signs(tmp_path / "sign-language-mnist/sign_mnist_train.csv")
    lesson = checkout / "lessons/sign-language"
    few_epochs(lesson, "sign-mnist", "mlp")
    typed(checkout, *SIGNS, home=tmp_path)
    assert read_json(lesson / "metrics/mlp.json")["test_macro_f1"] > 0.5


IN_LESSON = documented.of("lessons/neuron/README.md")


@pytest.mark.documented(*IN_LESSON)
def test_a_lesson_makes_its_report(checkout: Path, typed: Typed) -> None:
    typed(checkout, *IN_LESSON)
    assert "<img" in (checkout / "lessons/neuron/results/report.html").read_text()
    with sqlite3.connect(checkout / "mlflow.db") as store:
        assert ("neuron",) in store.execute("select name from experiments").fetchall()
