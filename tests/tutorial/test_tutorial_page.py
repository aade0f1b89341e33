"""The findings on the tutorial's claims follow from the numbers: each holds on made-up ones, and fails on others."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from tutorial import report
from tutorial.report import Side, course

KEYS = ("cnn", "transfer", "multimodal")
GENRES = ("classical", "hiphop", "jazz", "pop", "reggae", "rock")
CLIPS = 20
"""Of each genre, two of an artist."""


def history(
    loss: Sequence[float], score: Sequence[float] | None = None, accuracy: float = 0.9, fold: int = 0
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "epoch": range(len(loss)),
            "train_loss": 1.0,
            "train_accuracy": accuracy,
            "valid_loss": loss,
            "valid_accuracy": 0.5,
            "valid_macro_f1": np.linspace(0.3, 0.5, len(loss)) if score is None else score,
        }
    ).assign(fold=fold, seed=7)


def swaying(by: float, epochs: int = 12) -> list[float]:
    return [1 + by * (epoch % 2) for epoch in range(epochs)]


def answers(right: dict[str, float], genres: Sequence[str] = GENRES) -> pd.DataFrame:
    """Of each genre this share right, spread over its artists, and the others taken for the next; half are of groups in the training set."""
    rows = [
        {
            "clip_id": f"{genre} {clip}",
            "group": f"{genre} {clip % (CLIPS // 2)}",
            "label": genre,
            "predicted": genre if clip < right[genre] * CLIPS else genres[number - 1],
            "seen": clip % (CLIPS // 2) < CLIPS // 4,
        }
        for number, genre in enumerate(genres)
        for clip in range(CLIPS)
    ]
    table = pd.DataFrame(rows).assign(fold=0, seed=7, part="test")
    for genre in genres:
        table[f"p:{genre}"] = (table["predicted"] == genre).astype(float)
    return table


def even(share: float, **other: float) -> pd.DataFrame:
    return answers({**dict.fromkeys(GENRES, share), **other})


def verdict(sentence: str) -> str:
    words = sentence.split("” ")[1].split(":")[0]
    assert words in ("holds", "holds in part", "does not hold")
    return words


def courses(**losses: list[float]) -> dict[str, report.Course]:
    return {key: course(history(loss, loss)) for key, loss in losses.items()}


def test_a_course_is_read_off_the_curves() -> None:
    own = course(history([2.0, 1.0, 1.5, 3.0], [0.1, 0.3, 0.2, 0.2], accuracy=0.8))
    assert (own.epochs, own.accuracy, own.minimum_at, own.minimum, own.last) == (4, 0.8, 1, 1.0, 3.0)
    assert own.change == pytest.approx((1 + 0.5 + 1.5) / 3)
    assert own.fluctuation == pytest.approx((0.75 + 0.5) / 2)
    assert own.score_fluctuation == pytest.approx((0.15 + 0.05) / 2)
    assert own.rose == pytest.approx(2 / 3)


def test_a_course_of_several_trainings_is_their_mean_and_of_none_unknown() -> None:
    two = pd.concat([history([1.0, 2.0]), history([1.0, 1.0, 0.5, 0.5], accuracy=0.5, fold=1)])
    assert (course(two).epochs, course(two).last) == (3, 1.25)
    assert course(two).accuracy == pytest.approx(0.7)
    assert math.isnan(course(history([])).epochs)
    assert math.isnan(course(history([1.0])).change)


@pytest.mark.parametrize(
    ("cnn", "transfer", "multimodal", "most", "least"),
    [
        (0.5, 0.2, 0.1, "holds", "holds"),
        (0.2, 0.5, 0.1, "does not hold", "holds"),
        (0.5, 0.1, 0.2, "holds", "does not hold"),
    ],
)
def test_who_fluctuates(cnn: float, transfer: float, multimodal: float, most: str, least: str) -> None:
    found = courses(cnn=swaying(cnn), transfer=swaying(transfer), multimodal=swaying(multimodal))
    assert verdict(report.fluctuates_most(found)) == most
    assert verdict(report.fluctuates_least(found)) == least
    assert f"{cnn:.3f} (cnn)" in report.fluctuates_most(found)


def test_a_loss_that_falls_fast_does_not_fluctuate() -> None:
    steep = [10.0 - epoch / 2 for epoch in range(12)]
    found = courses(cnn=swaying(0.1), transfer=steep, multimodal=swaying(0.05))
    assert found["transfer"].change > found["cnn"].change
    assert verdict(report.fluctuates_most(found)) == "holds"


def test_a_claim_on_two_things_may_hold_of_one() -> None:
    """The CNN's loss fluctuates most, but its scores do not."""
    found = {key: course(history(swaying(0.1), swaying(0.1))) for key in KEYS[1:]}
    found["cnn"] = course(history(swaying(0.5), swaying(0.01)))
    assert verdict(report.fluctuates_most(found)) == "holds in part"
    assert "the macro F1 of cnn fluctuate least" in report.fluctuates_least(found)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (np.linspace(0.1, 0.4, 12), "holds"),
        ([0.1] * 3 + [0.4] * 6 + [0.3] * 3, "does not hold"),
        ([0.1, 0.2], "does not hold"),
    ],
)
def test_what_rises_gradually_is_higher_in_each_quarter(score: Sequence[float], expected: str) -> None:
    assert verdict(report.gradual(history([1.0] * len(score), score))) == expected


@pytest.mark.parametrize(
    ("cnn", "transfer", "expected", "words"),
    [
        (0.5, 0.6, "holds", "cnn"),
        (0.1, 0.9, "holds in part", "transfer beats cnn by"),
        (0.9, 0.1, "does not hold", "cnn beats multimodal by"),
    ],
)
def test_whether_transfer_is_best(cnn: float, transfer: float, expected: str, words: str) -> None:
    tests = {"cnn": even(cnn), "transfer": even(transfer), "multimodal": even(0.1)}
    artist = tests["transfer"]["group"].str.split().str[-1].astype(int)
    label, other = (
        tests["transfer"]["label"],
        tests["transfer"]["label"].map(dict(zip(GENRES, reversed(GENRES), strict=True))),
    )
    # all clips of an artist right or none, where the CNN has one of two
    tests["transfer"]["predicted"] = label.where(artist < transfer * CLIPS / 2, other)
    found = report.best(tests, 7)
    assert verdict(found) == expected
    assert words in found


def test_a_loss_that_shoots_up_is_named_with_its_least_epoch() -> None:
    falls, shoots = [2.0, 1.5, 1.2, 1.1], [2.0, 1.0, 1.8, 3.0]
    found = report.risen(courses(cnn=shoots, transfer=falls, multimodal=falls))
    assert verdict(found) == "holds"
    assert "cnn has its minimum of 1.00 in epoch 1 of 4 and ends at 3.00" in found
    assert verdict(report.risen(courses(cnn=shoots, transfer=falls, multimodal=shoots))) == "holds in part"
    found = report.risen(courses(cnn=falls, transfer=falls, multimodal=falls))
    assert verdict(found) == "does not hold"
    assert "of none" in found


def test_genres_that_are_easy_and_hard() -> None:
    assert [verdict(found) for found in report.easiest(even(0.5, classical=1, rock=0, reggae=0.1))] == ["holds"]
    (found,) = report.easiest(even(0.5, classical=1, pop=0, reggae=0))
    assert verdict(found) == "holds in part"
    assert verdict(*report.easiest(even(0.5, jazz=1, hiphop=0, pop=0))) == "does not hold"
    assert report.easiest(answers({"jazz": 0.5, "polka": 0.5}, ["jazz", "polka"])) == []


def test_genres_that_transfer_raises() -> None:
    low, high = even(0.4), even(0.8)
    assert verdict(*report.raised(low, high)) == "holds"
    assert verdict(*report.raised(high, low)) == "does not hold"
    two = (answers({"jazz": share, "rock": 0.5}, ["jazz", "rock"]) for share in (0.5, 0.9))
    (found,) = report.raised(*two)
    assert "raises jazz” holds" in found, "of the labels that there are"
    two = (answers({"polka": share, "rock": 0.5}, ["polka", "rock"]) for share in (0.5, 0.9))
    assert report.raised(*two) == []


def test_whether_multimodal_is_worst_and_what_overfits() -> None:
    tests = {"cnn": even(0.6), "transfer": even(0.7), "multimodal": even(0.4)}
    accuracies = {"cnn": 0.8, "transfer": 0.7, "multimodal": 1.0}
    own = {key: course(history([1.0, 1.0], accuracy=share)) for key, share in accuracies.items()}
    found = report.worst(tests, own)
    assert verdict(found) == "holds"
    assert "100% and 40% (multimodal), so multimodal overfits most" in found
    found = report.worst({**tests, "multimodal": even(0.95)}, own)
    assert verdict(found) == "does not hold"
    assert "so cnn overfits most" in found
    assert "none overfits" in report.worst({key: even(0.95) for key in KEYS}, own)


def test_the_leak_is_shown_by_who_was_in_the_training_set() -> None:
    test = even(0.5)
    test["predicted"] = np.where(test["seen"], test["label"], "nothing")
    assert "60 of 120 test clips are of groups in the training set" in report.leak({"cnn": test})
    assert "100% and 0% (cnn)" in report.leak({"cnn": test})
    assert "no test clips are" in report.leak({"cnn": test.assign(seen=False)})
    assert "all test clips are" in report.leak({"cnn": test.assign(seen=True)})


def side(share: float) -> Side:
    return Side(even(share), history(swaying(share)), 12.0)


def test_the_page_needs_nothing_from_outside_and_compares_each_model_with_its_own() -> None:
    theirs = {key: side(share) for key, share in zip(KEYS, (0.5, 0.6, 0.4), strict=True)}
    ours = {key: side(0.3) for key in KEYS}
    ours["transfer"] = Side(even(0.3), history([]), 1.0)  # a head in closed form
    page = report.page(theirs, ours, "grouped: <no> group is cut.", 7)
    for key in KEYS:
        assert f">{key}, tutorial</th>" in page
        assert f">{key}, here</th>" in page
    assert "&lt;no&gt; group is cut" in page
    assert page.count("data:image/png;base64,") == 2
    assert "http" not in page
    assert report.INPUTS in page
    assert "macro F1 is 0.500 and 0.300 (cnn)" in page
    assert report.numbers(theirs, ours, 7)["tutorial_cnn_seconds"] == 12.0
    assert "<p>The tutorial&#39;s claims: " in page
    assert 'href="comparison.html"' in page


def test_claims_are_counted_by_verdict() -> None:
    found = [
        "“a” holds: x.",
        "“b” holds in part: x.",
        "“c” holds in part: x.",
        "“d” does not hold: x.",
        "The leak: holds.",
    ]
    assert report.count(found) == ["The tutorial's claims: 1 holds, 2 hold in part and 1 does not hold."]
    assert report.count(found[-1:]) == []


def test_a_tutorial_of_fewer_models_makes_no_claim_on_the_others() -> None:
    found = report.findings({"cnn": side(0.5)}, {"cnn": side(0.3)}, 7)
    assert not [sentence for sentence in found if "“" in sentence]
    assert len(found) == 2
    assert found[-1].endswith("macro F1 is 0.500 and 0.300 (cnn).")
