"""Which model is delivered: the cheapest of those that are not significantly worse than the best on validation."""

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.choice import Choice, choose

GROUPS = 40
"""Of three clips each."""


def answers(wrong: float, seed: int) -> pd.DataFrame:
    """Of a model that is wrong on this share of the groups."""
    clip = np.arange(3 * GROUPS)
    group, label = clip // 3, np.where(clip // 3 % 2, "rock", "jazz")
    missed = np.isin(group, np.random.default_rng(seed).permutation(GROUPS)[: round(wrong * GROUPS)])
    predicted = np.where(missed, np.where(label == "rock", "jazz", "rock"), label)
    table = {"clip_id": clip, "group": group, "fold": group % 5, "seed": 7, "part": "valid", "label": label}
    sure = {f"p:{name}": np.where(predicted == name, 0.9, 0.1) for name in ("jazz", "rock")}
    return pd.DataFrame(table | {"predicted": predicted} | sure)


def of(costs: dict[str, float], **wrong: float) -> Choice:
    """The choice between models of these costs, wrong on these shares."""
    valid = {key: answers(share, seed) for seed, (key, share) in enumerate(wrong.items())}
    return choose(valid, costs, {key: key for key in wrong}, 7)


def test_of_models_that_are_not_significantly_different_the_cheapest_is_chosen() -> None:
    found = of({"light": 30.0, "heavy": 100.0}, light=0.2, heavy=0.15)
    assert (found.chosen, found.best, found.level) == ("light", "heavy", ["heavy", "light"])
    assert found.sentence == (
        "light was chosen: on validation it is not significantly worse than heavy, which has the highest macro F1, and it is "
        "the cheapest to run of those of which this is true. Features and network take for a clip: heavy 100 ms and light 30 ms."
    )


def test_a_model_that_is_significantly_better_is_chosen_whatever_it_costs() -> None:
    found = of({"light": 1.0, "heavy": 10_000.0}, light=0.4, heavy=0.05)
    assert (found.chosen, found.level) == ("heavy", ["heavy"])
    assert found.sentence == "heavy was chosen: on validation it is clearly better than all other models."


def test_costs_that_are_as_good_as_equal_leave_the_choice_to_the_score() -> None:
    """They are measured on a machine that may do other things."""
    assert of({"light": 60.0, "heavy": 100.0}, light=0.2, heavy=0.15).chosen == "heavy"


@pytest.mark.parametrize(("majority", "chosen"), [(0.3, "heavy"), (0.1, "majority")])
def test_the_baseline_is_chosen_only_where_it_is_the_best(majority: float, chosen: str) -> None:
    assert of({"majority": 0.1, "heavy": 100.0}, majority=majority, heavy=0.25).chosen == chosen
