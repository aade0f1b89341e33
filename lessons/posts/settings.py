"""The lesson's params, its files, and the branches that its models fuse."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline.config.base import Fraction, Positive, Section, Seed

Array = np.ndarray[Any, np.dtype[Any]]

LESSON = Path(__file__).parent.name
POSTS = Path("data/posts.parquet")
PICTURES = Path("data/pictures")
SPLIT = Path("data/split.parquet")
FEATURES = Path("features")
DESCRIBED = FEATURES / "posts.parquet"
ENCODER = FEATURES / "encoder.json"
MODELS = Path("models")
PREDICTED = "predictions.parquet"
EVALUATION = Path("evaluation")
ANSWERS = EVALUATION / "answers.json"
"""The model that answers, and what its scores from 1 to 10 mean."""
HOURS = EVALUATION / "hours.parquet"

BRANCHES = ("words", "sentiment", "domain", "picture", "time")
WHOLE = "all"
"""All branches, beside what is left when one is left out."""
PARTS = ("train", "valid", "test")
Positives = Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]


class Data(Section):
    path: str


class Split(Section):
    valid: Annotated[float, Field(gt=0, lt=0.5)]
    test: Annotated[float, Field(gt=0, lt=0.5)]


class Features(Section):
    min_posts: Positive
    max_words: Positive
    weights: str | None


class Ridge(Section):
    alphas: Positives


class Boosting(Section):
    words: Positive
    rates: Positives
    rounds: Positive


class Net(Section):
    hidden: Positive
    dropout: Fraction
    epochs: Annotated[list[Positive], Field(min_length=1)]
    batch_size: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]


class Models(Section):
    ridge: Ridge
    boosting: Boosting
    net: Net


class Page(Section):
    words: Positive
    such_posts: Positive


class Params(Section):
    seed: Seed
    data: Data
    split: Split
    features: Features
    models: Models
    bootstrap: Annotated[int, Field(ge=100)]
    page: Page
