"""Intervals and comparisons: small cases by hand, and simulations that count how often they are right.

In the simulations clips of a group share how hard they are and what they are mistaken for, so that a group
says less than its clips would one by one.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score

from pipeline.evaluation import bootstrap, metrics
from pipeline.evaluation.bootstrap import Comparison, Interval, Metric, by_run, compare, interval

EASE = np.linspace(-0.3, 1.5, 8)
"""Of each simulated label: the log odds of a right answer for a clip of medium difficulty."""


def table(*answers: tuple[str, str, str], fold: int = 0, seed: int = 0) -> pd.DataFrame:
    """Predictions from (group, label, predicted)."""
    rows = pd.DataFrame(answers, columns=["group", "label", "predicted"])
    ids = [f"clip-{fold}-{number}" for number in range(len(rows))]
    return rows.assign(clip_id=ids, fold=fold, seed=seed, part="test")


def a_few(seed: int = 0) -> pd.DataFrame:
    answers = [
        ("a", "jazz", "jazz"),
        ("a", "jazz", "rock"),
        ("b", "rock", "rock"),
        ("c", "jazz", "jazz"),
        ("c", "polka", "rock"),
        ("d", "polka", "polka"),
    ]
    return table(*answers, seed=seed)


def simulated(
    draw: np.random.Generator, groups: int, ahead: Sequence[float] = (0.0,), seeds: int = 1
) -> list[pd.DataFrame]:
    """Answers of several models on the same clips; ``ahead`` is what each has in log odds of a right answer.

    Labels have equally many groups, of 1 to 7 clips. Each model finds other labels easy. Names are numbers.
    """
    group = np.repeat(np.arange(groups), draw.integers(3, 9, groups))
    label, clip = group % len(EASE), np.arange(len(group))
    shared, mistake = draw.normal(0, 0.8, groups), draw.integers(1, len(EASE), groups)
    models = []
    for number, lead in enumerate(ahead):
        odds = np.roll(EASE, 3 * number)[label] + lead + (shared + draw.normal(0, 1.2, groups))[group]
        runs = []
        for seed in range(seeds):
            right = draw.random(len(clip)) < 1 / (1 + np.exp(-odds))
            usual = draw.random(len(clip)) < 0.7
            away = np.where(usual, mistake[group], draw.integers(1, len(EASE), len(clip)))
            predicted = np.where(right, label, (label + away) % len(EASE))
            names = {"clip_id": clip, "group": group, "label": label, "predicted": predicted}
            runs.append(pd.DataFrame({**names, "fold": 0, "seed": seed}))
        models.append(pd.concat(runs, ignore_index=True))
    return models


def with_clips_for_groups(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(group=rows["clip_id"])


def any_distinct(models: list[pd.DataFrame]) -> bool:
    found = compare(dict(zip("abcd", models, strict=False)), seed=1, draws=200)
    return any(comparison.distinct for comparison in found)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    (everything,) = simulated(np.random.default_rng(1), groups=48_000)
    truth = {
        "macro_f1": f1_score(everything["label"], everything["predicted"], average="macro"),
        "accuracy": accuracy_score(everything["label"], everything["predicted"]),
    }
    draw = np.random.default_rng(2)
    samples = [simulated(draw, groups=48, seeds=2)[0] for _ in range(300)]

    def coverage(metric: Metric, tables: list[pd.DataFrame]) -> float:
        found = [interval(rows, metric, seed=3, draws=200) for rows in tables]
        return float(np.mean([one.low <= truth[metric] <= one.high for one in found]))

    # Of 300 intervals at 95 %, between 91.5 % and 98 % hold the truth with a probability of 99 %.
    assert 0.915 <= coverage("macro_f1", samples) <= 0.98
    assert 0.915 <= coverage("accuracy", samples) <= 0.98
    assert coverage("macro_f1", [with_clips_for_groups(rows) for rows in samples[:100]]) < 0.85


def test_equal_models_are_seldom_significantly_different() -> None:
    draw = np.random.default_rng(4)
    samples = [simulated(draw, groups=48, ahead=(0, 0, 0)) for _ in range(120)]
    # Of 120 comparisons at 5 %, at most 12 go wrong with a probability of 99 %.
    assert sum(any_distinct(models) for models in samples) <= 12
    of_clips = [[with_clips_for_groups(rows) for rows in models] for models in samples[:40]]
    assert sum(any_distinct(models) for models in of_clips) > 5


def test_a_better_model_is_found() -> None:
    draw = np.random.default_rng(5)
    for _ in range(20):
        same, other, better = simulated(draw, groups=80, ahead=(0, 0, 1.5))
        found = compare({"same": same, "other": other, "better": better}, seed=1, draws=200)
        assert [one.distinct for one in found[1:]] == [True, True]
        assert [one.better for one in found[1:]] == ["better", "better"]


def test_of_equal_groups_accuracy_has_the_t_interval_of_their_means() -> None:
    draw = np.random.default_rng(6)
    right = draw.random((30, 4)) < draw.random((30, 1))
    rows = [(f"group-{place[0]}", "jazz", "jazz" if hit else "rock") for place, hit in np.ndenumerate(right)]
    found = interval(table(*rows), "accuracy", seed=0, level=0.9, draws=20_000)
    means = right.mean(axis=1)
    low, high = stats.t.interval(0.9, df=29, loc=means.mean(), scale=stats.sem(means))
    assert found.value == pytest.approx(means.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02 * (high - low))


def test_the_value_is_the_score_of_metrics() -> None:
    rows = a_few().replace({"predicted": {"polka": "waltz"}})  # polka is never answered, waltz never right
    expected = metrics.per_class(rows, ["jazz", "polka", "rock"])["f1"].mean()
    assert interval(rows, "macro_f1", seed=0).value == pytest.approx(expected)
    assert interval(rows, "accuracy", seed=0).value == pytest.approx(3 / 6)


def test_folds_are_pooled() -> None:
    first = table(("a", "jazz", "jazz"), ("a", "jazz", "jazz"), ("b", "rock", "jazz"), fold=0)
    second = table(("c", "jazz", "rock"), ("d", "rock", "rock"), fold=1)
    # Jazz: 2 hits, 3 clips, 3 answers. Rock: 1, 2, 2. A mean over folds would be (0.4 + 0.333) / 2.
    pooled = interval(pd.concat([first, second]), "macro_f1", seed=0)
    assert pooled.value == pytest.approx((4 / 6 + 2 / 4) / 2)


def test_seeds_are_averaged_after_their_scores() -> None:
    one, two = a_few(seed=1), a_few(seed=2).assign(predicted="jazz")
    both = interval(pd.concat([one, two]), "macro_f1", seed=0)
    alone = [interval(rows, "macro_f1", seed=0).value for rows in (one, two)]
    assert alone[0] != alone[1]
    assert both.value == pytest.approx(np.mean(alone))


def test_the_interval_depends_on_the_seed_and_not_on_the_order_of_rows() -> None:
    (rows,) = simulated(np.random.default_rng(7), groups=24, seeds=2)
    first = interval(rows, "macro_f1", seed=1)
    assert interval(rows.sample(frac=1, random_state=3), "macro_f1", seed=1) == first
    assert interval(rows, "macro_f1", seed=2) != first
    assert interval(rows, "macro_f1", seed=1, level=0.99).low < first.low < first.value < first.high


def test_a_draw_without_a_label_is_no_mistake() -> None:
    rows = table(("a", "jazz", "jazz"), ("b", "jazz", "jazz"), ("c", "rock", "rock"))
    assert interval(rows, "macro_f1", seed=0) == Interval(1, 1, 1)


def test_ends_stay_between_0_and_1() -> None:
    rows = table(("a", "jazz", "jazz"), ("b", "rock", "rock"), ("c", "jazz", "rock"), ("d", "rock", "rock"))
    found = interval(rows, "accuracy", seed=0)
    assert (found.value, found.high) == (0.75, 1)
    assert interval(rows.assign(predicted="jazz"), "macro_f1", seed=0).low == 0


def test_one_group_has_a_value_and_no_ends() -> None:
    rows = a_few().assign(group="a")
    found = interval(rows, "accuracy", seed=0)
    assert found.value == pytest.approx(4 / 6)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    (pair,) = compare({"cnn": rows, "mlp": rows.assign(predicted="jazz")}, seed=0)
    assert not pair.distinct
    assert pair.sentence == "cnn and mlp are not significantly different on 6 clips"


def test_all_pairs_are_compared() -> None:
    draw = np.random.default_rng(8)
    worst, middle, best = simulated(draw, groups=120, ahead=(-2, 0, 2), seeds=2)
    found = compare({"worst": worst, "best": best, "middle": middle}, seed=0)
    assert [(one.better, one.worse) for one in found] == [("best", "worst"), ("middle", "worst"), ("best", "middle")]
    values = {
        key: interval(rows, "macro_f1", seed=0).value
        for key, rows in {"worst": worst, "best": best, "middle": middle}.items()
    }
    assert all(one.difference.value == pytest.approx(values[one.better] - values[one.worse]) for one in found)
    assert all((one.clips, one.groups) == (best["clip_id"].nunique(), 120) for one in found)


def test_more_pairs_make_wider_intervals() -> None:
    models = dict(zip("abc", simulated(np.random.default_rng(9), groups=40, ahead=(0, 0, 0)), strict=True))
    alone = compare({key: models[key] for key in "ab"}, seed=0)[0].difference
    among = compare(models, seed=0)[0].difference
    expected = stats.t.isf(0.025 / 3, 39) / stats.t.isf(0.025, 39)
    assert (among.high - among.low) / (alone.high - alone.low) == pytest.approx(expected)


def test_a_comparison_does_not_depend_on_the_order_of_rows_or_models() -> None:
    one, other = simulated(np.random.default_rng(10), groups=40, ahead=(0, 1))
    expected = compare({"cnn": one, "mlp": other}, seed=0)
    assert compare({"mlp": other.sample(frac=1, random_state=1), "cnn": one[::-1]}, seed=0) == expected


def test_equal_models_are_named_in_alphabetical_order() -> None:
    (pair,) = compare({"mlp": a_few(), "cnn": a_few()}, seed=0)
    assert (pair.better, pair.worse, pair.difference) == ("cnn", "mlp", Interval(0, 0, 0))
    assert not pair.distinct


def test_one_model_has_no_pair() -> None:
    assert compare({"cnn": a_few()}, seed=0) == []


def test_draws_in_blocks_are_those_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many groups all draws together take gigabytes; the scores in the documents are of draws made at once."""
    (rows,) = simulated(np.random.default_rng(5), groups=40)
    whole = interval(rows, "macro_f1", seed=3)
    monkeypatch.setattr(bootstrap, "BLOCK", 40 * 7)
    assert interval(rows, "macro_f1", seed=3) == whole


def test_models_may_have_different_seeds() -> None:
    three = pd.concat([a_few(seed=seed) for seed in (1, 2, 3)])
    (pair,) = compare({"cnn": three, "majority": a_few(seed=0).assign(predicted="jazz")}, seed=0)
    assert (pair.better, pair.clips) == ("cnn", 6)


@pytest.mark.parametrize(
    "other", [a_few()[1:], a_few().assign(group="a"), a_few().assign(label="jazz")], ids=["clips", "groups", "labels"]
)
def test_models_on_different_clips_are_named(other: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="'cnn' and 'mlp' are not scored on the same clips"):
        compare({"cnn": a_few(), "knn": a_few(), "mlp": other}, seed=0)


def test_seeds_on_different_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="seeds"):
        interval(pd.concat([a_few(seed=1), a_few(seed=2)[1:]]), "macro_f1", seed=0)


@pytest.mark.parametrize(
    ("difference", "sentence"),
    [
        (Interval(0.06, 0.01, 0.114), "transfer beats cnn by 0.06 (0.01 to 0.11)"),
        (Interval(0.0512, 0.0004, 0.102), "transfer beats cnn by 0.0512 (0.0004 to 0.1020)"),
        (Interval(0.06, 0.0, 0.12), "transfer and cnn are not significantly different on 120 clips"),
        (Interval(0.01, -0.03, 0.05), "transfer and cnn are not significantly different on 120 clips"),
    ],
)
def test_sentences(difference: Interval, sentence: str) -> None:
    assert Comparison("transfer", "cnn", difference, clips=120, groups=80).sentence == sentence


def test_each_run_is_scored_over_its_own_labels() -> None:
    rows = [
        table(("a", "jazz", "jazz"), ("b", "jazz", "rock"), fold=1, seed=5),
        table(("c", "rock", "rock"), ("d", "jazz", "jazz"), fold=0, seed=5),
        table(("c", "rock", "jazz"), ("d", "jazz", "jazz"), fold=0, seed=4),
    ]
    expected = pd.DataFrame(
        {"fold": [0, 0, 1], "seed": [4, 5, 5], "macro_f1": [(0 + 2 / 3) / 2, 1.0, 2 / 3], "accuracy": [0.5, 1.0, 0.5]}
    )
    pd.testing.assert_frame_equal(by_run(pd.concat(rows)), expected)
