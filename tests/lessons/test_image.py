"""Pixels: the middle of a picture at one size, stored as bytes, given to models from 0 to 1."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lessons.common.pictures.config import Features
from lessons.common.pictures.config import Image as Settings
from lessons.common.pictures.features.image import compute
from pipeline.features.extract import Task, blocks, spec
from pipeline.features.store import Store, Writer
from pipeline.training.dataset import Feature

GREY = Features(image=Settings(size=4, channels=1))
COLOUR = Features(image=Settings(size=4, channels=3))


def picture(seed: int, width: int = 4, height: int = 4) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_a_picture_of_that_size_is_as_it_was() -> None:
    own = picture(1)
    planes = compute(own, COLOUR.image).reshape(3, 4, 4)
    np.testing.assert_array_equal(planes.transpose(1, 2, 0), np.asarray(own))
    np.testing.assert_array_equal(compute(own, GREY.image).reshape(4, 4), np.asarray(own.convert("L")))


@pytest.mark.parametrize(("width", "height"), [(8, 4), (4, 8)])
def test_a_long_picture_is_cut_to_its_middle(width: int, height: int) -> None:
    own = picture(2, width, height)
    middle = own.crop(((width - 4) // 2, (height - 4) // 2, (width + 4) // 2, (height + 4) // 2))
    np.testing.assert_array_equal(compute(own, COLOUR.image), compute(middle, COLOUR.image))


def test_models_see_shares_of_the_brightest(tmp_path: Path) -> None:
    """As the tutorials do: pixels divided by 255, from 0 to 1."""
    own = {"a": picture(1), "b": picture(2)}
    own["a"].putpixel((0, 0), (255, 0, 51))
    writer = Writer(tmp_path / "store", spec("image", COLOUR))
    for name, one in own.items():
        one.save(tmp_path / f"{name}.png")
        writer.add(name, "", blocks(Task(tmp_path / f"{name}.png", ["image"]), COLOUR)["image"])
    writer.finish()
    feature = Feature.stored(Store(tmp_path / "store"), ["b", "a"], frames=1)
    images = feature.cut(np.array([0, 1]), np.array([0, 0]))
    assert images.shape == (2, 3, 4, 4)
    assert images.dtype == np.float32
    np.testing.assert_allclose(images[1, :, 0, 0], [1.0, 0.0, 0.2])
    np.testing.assert_allclose(images[0].transpose(1, 2, 0), np.asarray(own["b"]) / 255, rtol=1e-6)
    about = feature.describe()
    assert (about.shape, about.channels) == ((3, 4, 4), 3)
    np.testing.assert_allclose(about.mean, images.mean(axis=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(about.std, images.std(axis=(0, 2, 3)), rtol=1e-5)
    assert list(feature.max_offset()) == [0, 0]
