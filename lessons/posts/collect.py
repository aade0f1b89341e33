"""The stage ``collect``: posts from a table, or made up from a recipe, as one table in the order of time."""

import shutil
from pathlib import Path

import pandas as pd

from lessons.common import lesson
from lessons.posts.made_up import Recipe, make
from lessons.posts.settings import LESSON, PICTURES, POSTS, Params
from pipeline.base.errors import UserError, reported
from pipeline.base.text import counted
from pipeline.config.load import read

NAMES = {"created_at": "at", "num_points": "points"}
"""Columns of Hacker News's table, and what they are called here."""
MOST = 1_000_000_000
"""Points."""
NEEDED = ("title", "author", "at", "points")


def table(file: Path) -> pd.DataFrame:
    """Columns title, domain, author, at, points, picture; domain and picture are empty where a post has none.

    Raises:
        UserError: the table cannot be read, lacks a column, or has a value that is no time or no number.
    """
    try:
        found = pd.read_csv(file, dtype=str, keep_default_na=False).rename(columns=NAMES)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"data.path: {file} cannot be read as a table ({error})") from None
    if missing := sorted(set(NEEDED) - set(found)):
        raise UserError(f"data.path: {file} lacks the column {', '.join(missing)}; it has {', '.join(found)}")
    if "domain" not in found:
        hosts = found["url"].str.extract(r"^\w+://([^/:?#]+)")[0] if "url" in found else pd.Series("", found.index)
        found["domain"] = hosts.fillna("")
    found["domain"] = found["domain"].str.lower().str.removeprefix("www.")
    found["picture"] = found.get("picture", "")
    points = pd.to_numeric(found["points"], "coerce")
    try:
        at = pd.to_datetime(found["at"], errors="coerce", format="mixed")
    except ValueError as error:
        raise UserError(f"data.path: the times of {file} cannot be read together ({error})") from None
    for name, values, kind in (
        ("at", at, "time"),
        ("points", points.where(points.between(0, MOST)), f"number from 0 to {MOST:,}"),
    ):
        if values.isna().any():
            wrong = int(values.isna().to_numpy().argmax())
            raise UserError(f"data.path: {file}, row {wrong + 2}: {found[name].iloc[wrong]!r} is no {kind} ({name})")
    usable = found.assign(at=at, points=points.astype(int))[found["title"].str.strip() != ""]
    return usable[["title", "domain", "author", "at", "points", "picture"]]


def posts(path: Path, seed: int) -> pd.DataFrame:
    if path.suffix == ".yaml":
        return make(read(path, Recipe), seed)
    file = path / "posts.csv" if path.is_dir() else path
    found = table(file)
    PICTURES.mkdir(parents=True)
    for name in {name for name in found["picture"] if name}:
        source = (file.parent / name).resolve()
        if not (source.is_relative_to(file.parent.resolve()) and source.is_file()):
            raise UserError(f"data.path: the picture {name} is not in {file.parent}")
        (PICTURES / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, PICTURES / name)
    return found


def main() -> None:
    params = lesson.params(Params)
    shutil.rmtree(PICTURES, ignore_errors=True)
    found = posts(Path(params.data.path), params.seed).sort_values(["at", "title"], kind="stable", ignore_index=True)
    if len(found) < 200:
        raise UserError(f"data.path: {params.data.path} has {counted(len(found), 'post')} with a title, 200 are needed")
    found.to_parquet(POSTS)
    print(f"{LESSON}: {counted(len(found), 'post')} of {counted(found['author'].nunique(), 'author')}")


if __name__ == "__main__":
    with reported():
        main()
