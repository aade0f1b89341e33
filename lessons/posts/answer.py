"""The score of a draft post, what moved it, and when such posts did best."""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lessons.common import lesson
from lessons.common.pictures.decode import PictureError
from lessons.posts import hours, models
from lessons.posts.describe import describe, look
from lessons.posts.effects import DAYS
from lessons.posts.encoder import Encoder
from lessons.posts.settings import ANSWERS, ENCODER, HOURS, MODELS, Array, Params
from pipeline.base.errors import UserError
from pipeline.base.files import read_json
from pipeline.base.text import percent

MONDAY = pd.Timestamp("2024-01-01")
"""Of a week whose days stand for any: only the hour and the weekday count."""
LONGEST = 1000
"""Characters of a title."""


@dataclass(frozen=True)
class Draft:
    title: str
    domain: str = ""
    at: str = ""
    picture: Path | None = None


@dataclass(frozen=True)
class Answer:
    score: int
    moved: list[dict[str, object]]
    """Branch, what was seen, and what it adds in log points to the mean of training posts."""
    sentences: list[str]


@dataclass(frozen=True)
class Known:
    """What the stages left, read once."""

    params: Params
    encoder: Encoder
    answers: dict[str, Any]
    model: dict[str, Any]
    says: models.Says
    times: pd.DataFrame


@cache
def known() -> Known:
    """
    Raises:
        FileNotFoundError: a stage has not run.
    """
    params, encoder, answers = lesson.params(Params), Encoder(read_json(ENCODER)), read_json(ANSWERS)
    folder = MODELS / answers["model"]
    model = read_json(folder / "model.json")
    columns = [len(encoder.names(branch)) for branch in model["branches"]]
    says = models.load(answers["model"], folder, columns, params.models)
    return Known(params, encoder, answers, model, says, pd.read_parquet(HOURS))


def when(text: str) -> tuple[pd.Timestamp | None, bool]:
    """``Tue 09:00``, ``9:00``, ``Tuesday 9`` or ``2026-03-24 09:00``, and whether it names a day; None of an empty text.

    Raises:
        UserError: it is none of these.
    """
    text = text.strip()
    if not text:
        return None, False
    problem = UserError(f"{text!r} is no time: write it as 'Tue 09:00' or '2026-03-24 09:00', or leave it out")
    if found := re.fullmatch(r"(?:([A-Za-z]+)\s+)?(\d{1,2})(?::(\d{2}))?", text):
        day, hour, minute = found[1], int(found[2]), int(found[3] or 0)
        names = [name for name in DAYS if day and day.title().startswith(name) and FULL[name].startswith(day.title())]
        if hour > 23 or minute > 59 or (day and not names) or (not day and found[3] is None):
            raise problem
        day_of_week = DAYS.index(names[0]) if names else 0
        return MONDAY + pd.Timedelta(days=day_of_week, hours=hour, minutes=minute), bool(names)
    try:
        return pd.Timestamp(datetime.fromisoformat(text)).tz_localize(None), True
    except ValueError:
        raise problem from None


FULL = dict(zip(DAYS, ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"], strict=True))


def score(draft: Draft) -> Answer:
    """
    Raises:
        UserError: the title is empty or too long, the time is none, or the picture cannot be read.
        FileNotFoundError: a stage has not run.
    """
    title = " ".join(draft.title.split())
    if not re.search(r"\w", title):
        raise UserError("the title is empty: a post is scored by its words")
    if len(title) > LONGEST:
        raise UserError(f"the title has {len(title)} characters, at most {LONGEST:,} are scored")
    (at, has_day), domain = when(draft.at), host(draft.domain)
    here, notes = known(), []
    picture = _look(draft.picture, here) if draft.picture else None
    row = describe(pd.DataFrame({"title": [title], "domain": [domain], "at": pd.to_datetime([at])}), [picture])
    if not has_day:
        row[[name for name in row if name.endswith("of the week")]] = np.nan
    inputs = here.encoder.transform(row, here.model["branches"])
    if domain and not here.encoder.knows(domain):
        notes.append(
            f"No domain {domain} in at least {here.params.features.min_posts} training posts: it counts as any rare one."
        )
    if at is None:
        notes.append("No time given: it counts as an average one.")
    if picture is not None and "picture" not in here.model["branches"]:
        notes.append("No training post has a picture: yours does not count.")
    if not inputs[here.model["branches"].index("words")][0, : len(here.encoder.content["words"])].nnz:
        notes.append("No word of the title is in enough training posts: only its length counts.")
    said = here.says(inputs)[0]
    tenth = int(np.searchsorted(here.answers["edges"], said.sum())) + 1
    seen = {"words": _words(here, row), "domain": domain or "none", "time": draft.at.strip() or "none",
            "picture": draft.picture.name if draft.picture else "none",
            "sentiment": f"{row['sentiment compound'].iloc[0]:+.2f} from -1 to 1"}  # fmt: skip
    moved = [
        {"branch": branch, "seen": seen[branch], "log points": float(value - mean)}
        for branch, value, mean in zip(here.model["branches"], said, here.model["mean"], strict=True)
    ]
    return Answer(tenth, moved, [*_meaning(here.answers["scores"][tenth - 1]), *notes, _hours(here, domain)])


def host(text: str) -> str:
    """The domain of an address, or of what is one already."""
    found = re.fullmatch(r"(?:\w+://)?(?:www\.)?([^/?#:\s]*).*", text.strip().lower())
    return found[1] if found else ""


def _look(file: Path, here: Known) -> Array:
    try:
        return look(file, here.params.features.weights)
    except OSError as error:
        raise UserError(f"the picture {file} cannot be read: {error.strerror}") from None
    except PictureError as error:
        raise UserError(f"the picture {file} cannot be used: {error}") from None


def _words(here: Known, row: pd.DataFrame) -> str:
    """Of the words that training posts have, the three that move the score most, by leaving each out."""
    title, at = row["title"].iloc[0], here.model["branches"].index("words")

    def value(text: str) -> float:
        return float(here.says(here.encoder.transform(row.assign(title=text), here.model["branches"]))[0, at])

    words = list(dict.fromkeys(re.findall(r"\b\w\w+\b", title)))
    gains = {word: value(title) - value(re.sub(rf"\b{re.escape(word)}\b", " ", title)) for word in words}
    most = sorted((word for word in words if abs(gains[word]) >= 0.005), key=lambda word: -abs(gains[word]))[:3]
    return ", ".join(f"{word} {gains[word]:+.2f}" for word in most) or "no word counts"


def _meaning(meaning: dict[str, Any]) -> list[str]:
    low, middle, high = meaning["points"]
    return [
        f"Training posts with this score got {middle:.0f} points at the median, half of them between {low:.0f} and {high:.0f}.",
        f"{percent(meaning['top'])} of them were among the top tenth.",
    ]


def _hours(here: Known, domain: str) -> str:
    rows, what = hours.such(here.times, domain, here.params.page.such_posts)
    return f"Best hours of {what} in training are {hours.best(rows).sentence}."
