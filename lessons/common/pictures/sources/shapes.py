"""Circles, squares and triangles, drawn at random: a substitute for photographs."""

from pathlib import Path
from random import Random

from PIL import Image, ImageDraw

from lessons.common.pictures import paths
from lessons.common.pictures.config import Data
from pipeline.data.sources import Clip

LABELS = ("circle", "square", "triangle")
EACH = 80
SIDE = 150


def fetch(staging: Path, cache: Path, settings: Data, seed: int) -> list[Clip]:  # noqa: ARG001
    """EACH pictures of each shape; the same seed gives the same bytes."""
    return [
        _picture(label, number, staging, Random(f"{seed} {label} {number}"))
        for label in LABELS
        for number in range(EACH)
    ]


def _picture(label: str, number: int, staging: Path, random: Random) -> Clip:
    name = f"{label}/{number:03}.png"
    (staging / label).mkdir(exist_ok=True)
    draw_shape(label, random).save(staging / name)
    return Clip(
        path=(paths.IMAGES / name).as_posix(),
        label=label,
        group=name,
        origin="drawn shapes, a substitute",
        licence="none is needed",
    )


def draw_shape(label: str, random: Random) -> Image.Image:
    """Size, place, angle and both colours are drawn from one distribution for all labels; the shape is the brighter."""
    ground, colour = _colour(random, 0, 120), _colour(random, 136, 256)
    picture = Image.new("RGB", (SIDE, SIDE), ground)
    draw = ImageDraw.Draw(picture)
    radius = random.uniform(0.2, 0.35) * SIDE
    x, y = (random.uniform(radius, SIDE - radius) for _ in range(2))
    angle = random.uniform(-15, 15)
    if label == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    else:
        sides = {"square": 4, "triangle": 3}[label]
        draw.regular_polygon((x, y, radius), sides, rotation=angle, fill=colour)
    return picture


def _colour(random: Random, low: int, high: int) -> tuple[int, int, int]:
    return random.randrange(low, high), random.randrange(low, high), random.randrange(low, high)
