"""Digits and shapes, substitutes for real pictures, and a person's own folder."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lessons.common.pictures import paths
from lessons.common.pictures.config import Data
from lessons.common.pictures.sources import digits, pictures, shapes
from pipeline.data.sources import SourceError
from pipeline.files import sha256


def test_digits_are_those_of_scikit_learn(tmp_path: Path) -> None:
    clips = digits.fetch(tmp_path, tmp_path, Data(source="digits"), 7)
    assert len(clips) == 1797
    assert sorted({clip.label for clip in clips}) == list("0123456789")
    assert all("substitute" in clip.origin for clip in clips)
    pixels = [np.asarray(Image.open(tmp_path / Path(clip.path).relative_to(paths.IMAGES))) for clip in clips]
    assert (np.min(pixels), np.max(pixels)) == (0, 255)
    assert pixels[0].shape == (8, 8)


def test_shapes_follow_from_the_seed(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder, seed in zip(folders, (7, 7, 8), strict=True):
        folder.mkdir()
        clips = shapes.fetch(folder, folder, Data(source="shapes"), seed)
        assert Counter(clip.label for clip in clips) == dict.fromkeys(shapes.LABELS, shapes.EACH)
    sums = [{file.relative_to(folder): sha256(file) for file in folder.rglob("*.png")} for folder in folders]
    assert sums[0] == sums[1]
    assert not set(sums[0].items()) & set(sums[2].items())


def test_a_folder_of_pictures_is_listed_with_its_labels(checkout: Path) -> None:
    settings = Data(source="pictures")
    with pytest.raises(SourceError, match="copy a folder with one sub-folder of pictures for each label"):
        pictures.fetch(checkout, checkout, settings, 7)
    for name in ("cats/1.jpg", "cats/more/2.png", "dogs/1.jpg"):
        file = checkout / paths.PICTURES / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (checkout / paths.PICTURES / "groups.csv").write_text("path,group\ncats/1.jpg,tom\n")
    found = {clip.path: (clip.label, clip.group) for clip in pictures.fetch(checkout, checkout, settings, 7)}
    assert found == {
        "data/pictures/cats/1.jpg": ("cats", "tom"),
        "data/pictures/cats/more/2.png": ("cats", "unknown (cats)"),
        "data/pictures/dogs/1.jpg": ("dogs", "unknown (dogs)"),
    }
