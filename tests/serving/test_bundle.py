"""The examples that a bundle names for the page."""

import pandas as pd

from pipeline.serving.bundle import EXAMPLES, examples


def clips(labels: str, predicted: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "path": [f"{place:03}.wav" for place in range(len(labels))],
            "label": list(labels),
            "predicted": list(predicted),
            "sha256": "0" * 64,
        }
    )


def right(table: pd.DataFrame, seed: int) -> int:
    chosen = examples(table, seed)
    labels = [one.label for one in chosen]
    assert len(labels) == len(set(labels)) == min(EXAMPLES, table["label"].nunique())
    predicted = table.set_index("path")["predicted"]
    return sum(predicted[one.path] == one.label for one in chosen)


def test_examples_are_of_different_labels_and_as_often_right_as_the_test_clips() -> None:
    assert [right(clips("abcd" * 4, "abcd" * 4), seed) for seed in range(5)] == [EXAMPLES] * 5
    assert [right(clips("abcd" * 4, "bcda" * 4), seed) for seed in range(5)] == [0] * 5
    half = clips("abcd" * 4, "abcd" * 2 + "bcda" * 2)
    assert [right(half, seed) for seed in range(5)] == [2] * 5
    assert [right(clips("ab" * 4, "ab" * 4), seed) for seed in range(5)] == [2] * 5
    # no clip of another label is right
    assert [right(clips("abcd", "addd"), seed) for seed in range(5)] == [2] * 5


def test_the_seed_draws_them() -> None:
    table = clips("abcd" * 9, "abcd" * 9)
    assert examples(table, 7) == examples(table, 7)
    assert len({tuple(one.path for one in examples(table, seed)) for seed in range(9)}) > 1
