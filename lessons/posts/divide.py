"""The stage ``divide``: the latest posts are test, those before them valid; an author's posts stay in one part.

A later post of an author whom an earlier part has is ``returning``: nothing is fitted to it or chosen by it, and it counts in
no score but that of all later posts.
"""

import pandas as pd

from lessons.common import lesson
from lessons.posts.settings import PARTS, POSTS, SPLIT, Params, Split
from pipeline.base.errors import UserError, reported


def divide(authors: pd.Series, settings: Split) -> pd.DataFrame:
    """Columns ``part`` and ``returning``.

    Args:
        authors: of the posts, in the order of time.

    Raises:
        UserError: a part has fewer than 20 posts of authors of its own.
    """
    begins = [round(len(authors) * (1 - share)) for share in (settings.valid + settings.test, settings.test)]
    place = pd.Series(range(len(authors)), authors.index)
    part = pd.cut(place, [-1, begins[0] - 1, begins[1] - 1, len(authors)], labels=PARTS).astype(str)
    found = pd.DataFrame({"part": part, "returning": part != part.groupby(authors).transform("first")})
    for name, count in found[~found["returning"]].groupby("part").size().reindex(PARTS, fill_value=0).items():
        if count < 20:
            raise UserError(
                f"split.{name}: {count} posts of authors that no earlier part has; 20 are needed: raise it, or take posts of more authors"
            )
    return found


def main() -> None:
    params = lesson.params(Params)
    divide(pd.read_parquet(POSTS)["author"], params.split).to_parquet(SPLIT)


if __name__ == "__main__":
    with reported():
        main()
