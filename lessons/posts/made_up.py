"""Posts with planted effects, from a recipe: what the lesson finds in them can be checked."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from PIL import Image
from pydantic import Field

from lessons.posts.settings import PICTURES, Array
from pipeline.config.base import Fraction, Positive, Section

SHAPES = [
    "{mood} {one} {two}",
    "Why the {one} is {mood}",
    "{mood} {one} for your {two}",
    "Notes on {mood} {one} and {two}",
]
SYLLABLES = ("zor", "vex", "quil", "lan", "dra", "mik", "tol", "bru", "pez", "wim", "nar", "gol")
EVENT_DAYS = 10
EVENT_SHARE = 0.2
ACTIVE_DAYS = 90
BASE = 4.5
"""Mean log points, as of Hacker News's posts with comments."""
SIDE = 24
"""Pixels of a picture's side."""


class Hour(Section):
    amplitude: Annotated[float, Field(ge=0)]
    peak: Annotated[int, Field(ge=0, le=23)]


class Pictures(Section):
    share: Fraction
    effect: float
    warmth: float


class Recipe(Section):
    posts: Positive
    authors: Positive
    days: Annotated[int, Field(ge=30)]
    topics: Annotated[list[str], Field(min_length=2)]
    moods: Annotated[list[str], Field(min_length=1)]
    rare_moods: Annotated[list[str], Field(min_length=1)]
    """Each too rare for an effect of its own, with a tone that VADER knows."""
    words: dict[str, float]
    domains: dict[str, float]
    hour: Hour
    pictures: Pictures
    author: Annotated[float, Field(ge=0)]
    event: Annotated[float, Field(ge=0)]
    noise: Annotated[float, Field(ge=0)]


def make(recipe: Recipe, seed: int) -> pd.DataFrame:
    """The posts in the order of time; those with a picture name its file, which is in PICTURES."""
    rng = np.random.default_rng(seed)
    day = np.sort(rng.integers(0, recipe.days, recipe.posts))
    author = _authors(recipe, day, rng)
    minute = np.round(rng.normal(15 * 60, 5.5 * 60, recipe.posts)).astype(int) % (24 * 60)
    title, event = _titles(recipe, day, rng)
    domain = _domains(recipe, author, rng)
    picture, warmth = _pictures(recipe, rng)
    words = [sum(recipe.words.get(word, 0.0) for word in text.lower().split()) for text in title]
    log_points = (
        BASE
        + np.array(words)
        + [recipe.domains.get(name, 0.0) for name in domain]
        + recipe.hour.amplitude * np.cos(2 * np.pi * (minute / 60 - recipe.hour.peak) / 24)
        + np.where(picture != "", recipe.pictures.effect + recipe.pictures.warmth * warmth, 0.0)
        + rng.normal(0, recipe.author, recipe.authors)[author]
        + event
        + rng.normal(0, recipe.noise, recipe.posts)
    )
    at = pd.Timestamp("2025-01-06") + pd.to_timedelta(day, "D") + pd.to_timedelta(minute, "min")
    return pd.DataFrame(
        {
            "title": title,
            "domain": domain,
            "author": [f"author{number:04}" for number in author],
            "at": at,
            "points": np.maximum(np.round(np.expm1(log_points)), 0).astype(int),
            "picture": picture,
        }
    )


def _authors(recipe: Recipe, day: Array, rng: np.random.Generator) -> Array:
    """Some write much and most little; each for ACTIVE_DAYS, so that new ones come all the time."""
    first = rng.uniform(-ACTIVE_DAYS, recipe.days, recipe.authors)
    activity = 1 / np.arange(1, recipe.authors + 1) ** 0.5
    author = np.empty(len(day), dtype=int)
    for today in np.unique(day):
        active = (first <= today) & (today < first + ACTIVE_DAYS)
        weights = activity * active if active.any() else activity
        author[day == today] = rng.choice(recipe.authors, (day == today).sum(), p=weights / weights.sum())
    return author


def _titles(recipe: Recipe, day: Array, rng: np.random.Generator) -> tuple[list[str], Array]:
    """Titles, and the effect of the news that a title names."""
    effects = rng.normal(0, recipe.event, recipe.days // EVENT_DAYS + 1)
    names = ["".join(rng.permutation(SYLLABLES)[:3]).title() for _ in effects]
    titles, found = [], np.zeros(len(day))
    for place, when in enumerate(day // EVENT_DAYS):
        mood = "" if rng.random() < 0.3 else rng.choice(recipe.moods if rng.random() < 0.55 else recipe.rare_moods)
        one, two = rng.choice(recipe.topics, 2, replace=False)
        text = rng.choice(SHAPES).format(mood=mood, one=one, two=two)
        if rng.random() < EVENT_SHARE:
            text, found[place] = f"{names[when]}: {text}", effects[when]
        text = " ".join(text.split())
        titles.append(text[0].upper() + text[1:])
    return titles, found


def _domains(recipe: Recipe, author: Array, rng: np.random.Generator) -> list[str]:
    """Half of an author's posts are of their own domain, of those who have one."""
    shared = rng.choice([*recipe.domains, ""], len(author))
    own = (rng.random(recipe.authors) < 0.6)[author] & (rng.random(len(author)) < 0.5)
    return [
        f"blog{who}.example" if is_own else str(other) for who, is_own, other in zip(author, own, shared, strict=True)
    ]


def _pictures(recipe: Recipe, rng: np.random.Generator) -> tuple[Array, Array]:
    """Names of files, and how warm each is: 0 is blue, 1 is red; their green says nothing."""
    PICTURES.mkdir(parents=True)
    names, warmth = np.full(recipe.posts, "", dtype=object), rng.random(recipe.posts)
    for place in np.flatnonzero(rng.random(recipe.posts) < recipe.pictures.share):
        names[place] = f"{place:05}.png"
        colours = 255 * np.array([warmth[place], rng.random(), 1 - warmth[place]])
        pixels = np.clip(colours + rng.normal(0, 20, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(PICTURES / Path(names[place]))
    return names, warmth
