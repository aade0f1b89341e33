"""That a leaf has the effect which its row names."""

import re

from rows import Row
from workshop import ERROR, SAID, Workshop, shown


def check(row: Row, workshop: Workshop) -> None:
    before, after = (workshop.left(row.stage, side(workshop.base)) for side in (row.before, row.after))
    if row.says:
        assert re.search(row.says, after[SAID]), f"it says: {after[SAID]}"
        assert not re.search(row.says, before[SAID])
        return
    assert ERROR not in before, before[ERROR]
    assert ERROR not in after, after[ERROR]
    seen, seen_then = shown(before, row.shows), shown(after, row.shows)
    assert seen or seen_then, f"{row.stage} leaves no {row.shows}"
    assert seen != seen_then, f"{row.leaf} changes nothing in {row.shows}"
