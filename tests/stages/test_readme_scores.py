"""The documents' tables of scores are those of the files in docs/results, which a command makes."""

import re
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

import pytest
from running import evaluate, train

from benchmarks import scores
from pipeline.base import paths
from pipeline.base.files import read_json, write_json

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(scores.TABLES))
def test_a_table_is_that_of_its_file(name: str) -> None:
    document, table = scores.TABLES[name]
    text = (ROOT / document).read_text(encoding="utf-8")
    found = read_json(ROOT / scores.RESULTS / f"{name}.json")
    assert table(found) in text
    assert len(found["commit"]) == 40
    assert found["processor"] in text
    assert scores.updated(text, name, ROOT / scores.RESULTS) == text


def test_the_readme_names_the_leak_that_was_measured() -> None:
    one = read_json(ROOT / scores.RESULTS / "leak.json")["experiments"]["logreg"]
    assert f"**{one['random']['value']:.2f}** when artists are ignored" in README
    assert f"**{one['grouped']['value']:.2f}** when each artist" in README


def test_every_score_in_the_readmes_sentences_is_one_of_a_table() -> None:
    """Those of the leak, of the defaults (docs/training.md), and of the best model on real recordings (docs/scores.md)."""
    training, scored = ((ROOT / f"docs/{name}.md").read_text(encoding="utf-8") for name in ("training", "scores"))
    leak = read_json(ROOT / scores.RESULTS / "leak.json")["experiments"]["logreg"]
    tables = {f"{leak[split]['value']:.2f}" for split in ("random", "grouped")}
    now = re.findall(r"^\| (?:transfer|cnn|mlp) \| [\d.]+ \([\d.]+\) \| ([\d.]+)", training, re.MULTILINE)
    assert len(now) == 3
    tables |= {f"{float(score):.2f}" for score in now}
    best, low, high = re.findall(r"^\| `transfer`, .* \*\*([\d.]+)\*\* \(([\d.]+) to ([\d.]+)\)", scored, re.MULTILINE)[
        0
    ]
    tables |= {low, high}
    before, rest = README.split("<!-- starter: made by")
    sentences = re.sub(r"```.*?```", "", before + rest.split("<!-- end of starter -->")[1], flags=re.DOTALL)
    named = set(re.findall(r"\b0\.\d+", sentences)) - tables
    assert [abs(float(score) - float(best)) <= 0.006 for score in named] == [True], (
        "the mean of three seeds, of which it is one"
    )


def test_the_readme_is_read_in_three_minutes() -> None:
    assert len(README.split()) < 1200


def test_scores_are_over_five_seeds_and_of_all_experiments() -> None:
    found = read_json(ROOT / scores.RESULTS / "starter.json")["experiments"]
    assert {"mlp", "cnn", "transfer", "multimodal", "logreg", "majority"} <= set(found)
    for one in found.values():
        assert len(set(one["seeds"])) == len(one["test_macro_f1"]) >= 5


def test_another_number_is_written_into_the_readme(tmp_path: Path) -> None:
    found = read_json(ROOT / scores.RESULTS / "starter.json")
    found["experiments"]["mlp"]["test_macro_f1"] = [0.111, 0.222]
    write_json(tmp_path / "starter.json", found)
    after = scores.updated(README, "starter", tmp_path)
    assert f"{mean([0.111, 0.222]):.3f} ± {stdev([0.111, 0.222]):.3f}" in after
    changed = [line for line in after.splitlines() if line not in README.splitlines()]
    assert len(changed) == 1, "the row of mlp, and no other line"
    assert changed[0].startswith("| mlp |")


def test_what_is_collected_is_what_evaluation_found(setup: Callable[..., None]) -> None:

    setup(seeds=[1, 2])
    for key in ("logreg", "mlp"):
        train(key)
        evaluate(key)
    found = scores.collected(Path())
    assert found["data"]["train"] + found["data"]["valid"] + found["data"]["test"] == 81
    assert found["protocol"] == "grouped"
    for key in ("logreg", "mlp"):
        own, expected = found["experiments"][key], read_json(paths.EVALUATION / key / paths.SCORES)
        assert own["seeds"] == [1, 2]
        for name in ("valid_macro_f1", "test_macro_f1", "test_accuracy"):
            assert mean(own[name]) == pytest.approx(expected[name])
    assert found["experiments"]["mlp"]["description"] == "mlp on tabular"
