"""The stage ``describe``: what a model gets to see of each post, and the encoder, which knows training posts alone."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from lessons.common import lesson
from lessons.common.pictures.decode import PictureError, decode
from lessons.posts.encoder import Encoder
from lessons.posts.settings import DESCRIBED, ENCODER, LESSON, PICTURES, POSTS, SPLIT, Array, Params
from pipeline.base.errors import UserError, reported
from pipeline.base.files import write_json
from pipeline.base.text import counted

GRID = 2
"""Fields in either direction, whose colors describe a picture."""
SIDE = 224
"""Pixels of what MobileNetV2 sees."""
MAX_PIXELS = 50_000_000


def describe(posts: pd.DataFrame, pictures: list[Array | None]) -> pd.DataFrame:
    """One row per post: its title and domain, and columns of numbers whose names begin with their branch.

    Args:
        posts: ``at`` is missing where no time is known.
        pictures: of each post, from :func:`look`.
    """
    title, at = posts["title"], posts["at"]
    tone = pd.DataFrame([_vader().polarity_scores(text) for text in title], posts.index).add_prefix("sentiment ")
    hour = at.dt.hour + at.dt.minute / 60
    angles = {"day": hour / 24, "half day": hour / 12, "week": (at.dt.day_of_week + hour / 24) / 7}
    width = next((len(picture) for picture in pictures if picture is not None), 0)
    seen = np.array([np.full(width, np.nan) if picture is None else picture for picture in pictures])
    return pd.concat(
        [
            posts[["title", "domain"]],
            pd.DataFrame(
                {
                    "words characters": title.str.len(),
                    "words number": title.str.split().str.len(),
                    "words question": title.str.contains("?", regex=False),
                    "words digit": title.str.contains(r"\d"),
                }
            ).astype(float),
            tone,
            pd.DataFrame(
                {
                    f"time {wave} of the {name}": function(2 * np.pi * angle)
                    for name, angle in angles.items()
                    for wave, function in (("sine", np.sin), ("cosine", np.cos))
                }
            ),
            pd.DataFrame({"picture there": [float(picture is not None) for picture in pictures]}, posts.index),
            pd.DataFrame(seen, posts.index, [f"picture {number}" for number in range(width)]),
        ],
        axis=1,
    )


def look(file: Path, weights: str | None) -> Array:
    """A picture as numbers: its mean red, green and blue, from 0 to 1, then those of its fields; or behind the first three
    MobileNetV2's embedding.

    Raises:
        PictureError: the file is no picture, or a damaged one.
    """
    picture = decode(file, MAX_PIXELS)
    fields = np.asarray(picture.resize((GRID, GRID), Image.Resampling.BOX), dtype=np.float32) / 255
    means = fields.mean(axis=(0, 1))
    return np.concatenate([means, fields.ravel() if weights is None else _embedding(picture, weights)])


def _embedding(picture: Image.Image, weights: str) -> Array:
    import torch

    planes = np.asarray(picture.resize((SIDE, SIDE)), dtype=np.float32).transpose(2, 0, 1) / 255
    with torch.inference_mode():
        found: Array = _backbone(weights)(torch.from_numpy(planes)[None]).numpy()[0]
    return found


@cache
def _backbone(weights: str) -> Any:
    from pipeline.models import Input
    from pipeline.models.backbones import image

    if not (Path(weights) / "config.json").is_file():
        raise UserError(
            f"features.weights: {weights} has no config.json: `make repro` in the checkout fetches MobileNetV2"
        )
    source = Input((3, SIDE, SIDE), np.zeros(3, np.float32), np.ones(3, np.float32))
    return image.ImageBackbone(source, image.load(Path(weights)).eval(), trainable=False).eval()


@cache
def _vader() -> Any:
    return SentimentIntensityAnalyzer()


def main() -> None:
    params = lesson.params(Params)
    posts, split = pd.read_parquet(POSTS), pd.read_parquet(SPLIT)
    pictures: list[Array | None] = []
    broken = {}
    for name in posts["picture"]:
        try:
            pictures.append(look(PICTURES / name, params.features.weights) if name else None)
        except PictureError as error:
            broken[name] = str(error)
            pictures.append(None)
    described = describe(posts, pictures)
    DESCRIBED.parent.mkdir(exist_ok=True)
    described.to_parquet(DESCRIBED)
    write_json(ENCODER, Encoder.fit(described[split["part"] == "train"], params.features).content)
    if broken:
        first, why = next(iter(broken.items()))
        print(f"{LESSON}: {counted(len(broken), 'picture')} left out, as if not there; the first is {first}: {why}")


if __name__ == "__main__":
    with reported():
        main()
