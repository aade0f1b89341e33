"""The comparison: who is chosen, what the text says, and that no name gets out of its place."""

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.evaluation import calibration, metrics
from pipeline.evaluation.bootstrap import Comparison, Interval
from pipeline.reports.comparison import comparison, rank
from pipeline.reports.entries import DataSummary, Entry
from pipeline.reports.pages import escape_markdown

EVIL = "<img src=x onerror=alert(1)>"
LABELS = ["bach", EVIL, "a|b", "*polka*"]
Ends = tuple[float, float, float]
FIGURES = ["scores", "leak", "reliability", "curves", "per-class", "confusion", "confusions"]


def entry(key: str, valid_f1: float, counts: list[list[int]], epochs: int = 5) -> Entry:
    """A model with the given confusion on test, which its scores there follow, and macro F1 on validation."""
    matrix = pd.DataFrame(counts, index=LABELS, columns=LABELS)
    pairs = [(a, p) for a in LABELS for p in LABELS for _ in range(int(matrix.loc[a, p]))]
    predictions = pd.DataFrame(pairs, columns=["label", "predicted"]).assign(part="test", clip_id="clip")
    for label in LABELS:
        predictions[metrics.PROBABILITY + label] = (predictions["predicted"] == label).astype(float)
    noise = np.random.default_rng(1).normal(0, 0.05, epochs)
    curve = pd.Series(np.linspace(0.2, valid_f1, epochs) + noise)
    return Entry(
        key=key,
        description=f"{key} on tabular",
        metrics={
            "valid_macro_f1": valid_f1,
            "valid_accuracy": valid_f1,
            "valid_loss": 1 - valid_f1,
            **metrics.scores(predictions, "test"),
            "test_macro_f1_low": 0.5,
            "test_macro_f1_high": 0.9,
            "test_ece": 0.12,
            "test_ece_scaled": 0.04,
            "temperature": 1.5,
        },
        history=pd.DataFrame(
            {
                "fold": 0,
                "seed": 7,
                "epoch": range(epochs),
                "train_loss": 1 - curve,
                "train_accuracy": curve,
                "valid_loss": 1 - curve,
                "valid_accuracy": curve,
                "valid_macro_f1": curve,
            }
        ),
        per_class=metrics.per_class(predictions, LABELS),
        confusion=metrics.confusion(predictions, LABELS),
        reliability=(calibration.reliability(predictions), calibration.reliability(predictions)),
        test_clips=len(predictions),
        trials=1,
        run_id=f"run-of-{key}",
        wall_time_s=75.4,
        parameters=1_234_567,
    )


MAJORITY = entry("majority", 0.1, [[5, 0, 0, 0], [5, 0, 0, 0], [5, 0, 0, 0], [5, 0, 0, 0]], epochs=0)
CNN = entry("cnn", 0.8, [[5, 0, 0, 0], [0, 3, 2, 0], [0, 1, 4, 0], [1, 0, 0, 4]])
# Better than cnn on test, worse on validation.
MLP = entry("m_l_p", 0.6, [[5, 0, 0, 0], [0, 5, 0, 0], [0, 0, 5, 0], [1, 0, 0, 4]])
DATA = DataSummary(
    source="starter",
    origin="Clips are <b>synthesised</b> from scores.",
    protocol="grouped: one split.",
    leaky=False,
    few_groups=["a|b"],
    counts=pd.DataFrame({"train": [10, 9, 8, 7], "valid": [2] * 4, "test": [5] * 4}, index=LABELS),
    rejected={"silent": 2, "duplicate | of another": 3},
)


PAIRS = [
    Comparison("cnn", "m_l_p", Interval(0.02, -0.1, 0.2), clips=20, groups=9),
    Comparison("cnn", "majority", Interval(0.7, 0.5, 0.8), clips=20, groups=9),
]


def leak(grouped: Ends, random: Ends, gap: Ends, groups: int) -> dict[str, Any]:
    scores = {"grouped": grouped, "random": random, "gap": gap}
    ends = {name: dict(zip(("value", "low", "high"), own, strict=True)) for name, own in scores.items()}
    return {**ends, "folds": 5, "clips": 20, "groups": groups}


LEAKS = {
    "m_l_p": leak((0.48, 0.42, 0.54), (0.63, 0.6, 0.66), (0.15, 0.1, 0.2), 9),
    "majority": leak((0.5, 0.4, 0.6), (0.52, 0.4, 0.6), (0.02, -0.1, 0.1), 9),
    "cnn": leak((0.5, 0.4, 0.6), (0.5, 0.4, 0.6), (0.0, -0.1, 0.1), 20),
}


class Page(HTMLParser):
    """What a browser would make of the page: tags with attributes, tables, text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.text = ""
        self._cell = False
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell:
            self.tables[-1][-1][-1] += data

    def images(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == "img"]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    comparison([MAJORITY, MLP, CNN], PAIRS, LEAKS, DATA, folder)
    return folder


@pytest.fixture(scope="module")
def page(out: Path) -> Page:
    return Page((out / "comparison.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def markdown(out: Path) -> str:
    return (out / "comparison.md").read_text(encoding="utf-8")


def markdown_table(text: str, first_column: str) -> list[list[str]]:
    """Rows of the table that begins with this column, header first, split where Markdown splits."""
    lines = text.split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    end = next(number for number in range(start, len(lines)) if not lines[number].startswith("|"))
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[start:end]]


def test_files(out: Path) -> None:
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert files == sorted(["comparison.html", "comparison.md", *(f"figures/{name}.png" for name in FIGURES)])


def test_both_tables_are_sorted_by_validation(page: Page, markdown: str) -> None:
    assert [row[0] for row in page.tables[0]] == ["model", "cnn", "m_l_p", "majority"]
    header, _, *rows = markdown_table(markdown, "model")
    assert [row[0] for row in rows] == ["cnn", r"m\_l\_p", "majority"]
    assert header[2:4] == ["valid F1", "test F1"]
    assert [row[2] for row in rows] == ["0.800", "0.600", "0.100"]
    assert [row[3] for row in rows] == [f"{e.metrics['test_macro_f1']:.3f}" for e in (CNN, MLP, MAJORITY)]
    assert page.tables[0][1][2:] == rows[0][2:]


def test_fluctuation_columns(page: Page) -> None:
    header, cnn, _, majority = page.tables[0]
    assert header[-2:] == ["loss fluctuation", "F1 fluctuation"]
    expected = [metrics.fluctuation(CNN.history[name]) for name in ("valid_loss", "valid_macro_f1")]
    assert cnn[-2:] == [f"{value:.3f}" for value in expected]
    assert majority[-2:] == ["–", "–"]


def test_the_text_says_what_was_chosen_and_how(page: Page) -> None:
    text = " ".join(page.text.split())
    for sentence in (
        "Chosen: cnn, cnn on tabular",
        "It has the highest validation macro F1, 0.800. Test scores were not used to choose.",
        "and an accuracy of 0.800 on 20 clips",
        "The baseline majority, which always predicts the most frequent label, has a test macro F1 of 0.100.",
        f"Higher test macro F1: m_l_p ({MLP.metrics['test_macro_f1']:.3f}). We do not choose by test score",
        "Sorted by validation macro F1",
        f"cnn best on bach (F1 0.91), worst on {EVIL} (F1 0.67)",
        f"m_l_p best on {EVIL} and a|b (F1 1.00), worst on *polka* (F1 0.89)",
        f"majority best on bach (F1 0.40), worst on {EVIL}, a|b and *polka* (F1 0.00)",
        "Rejected clips, which are in no part: 5",
        "Split: grouped: one split.",
        "too narrow for labels with one or two groups in the test set: a|b.",
        "cnn beats majority by 0.70 (0.50 to 0.80)",
        "cnn and m_l_p are not significantly different on 20 clips",
        "m_l_p has a macro F1 of 0.48 (0.42 to 0.54) in 5 folds with groups kept together, and of "
        "0.63 (0.60 to 0.66) with groups ignored. The leak is worth 0.15 (0.10 to 0.20).",
        "with groups ignored. No leak detected: 0.02 (-0.10 to 0.10).",
        "cnn: every clip is a group of its own",
        f"On the test set cnn confuses {EVIL} and a|b most often: 3 of their 10 clips are predicted as",
    ):
        assert sentence in text


def test_names_stay_text_in_html(out: Path, page: Page) -> None:
    assert EVIL not in (out / "comparison.html").read_text(encoding="utf-8")
    assert EVIL in page.text
    assert {tag for tag, _ in page.tags} & {"b", "script", "link", "iframe"} == set()
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert len(page.images()) == len(FIGURES)
    assert [row[0] for row in page.tables[2]] == ["label", *LABELS, "all"]


def test_all_pictures_are_embedded_and_described(out: Path, page: Page) -> None:
    for image, name in zip(page.images(), FIGURES, strict=True):
        kind, encoded = str(image["src"]).split(",")
        assert kind == "data:image/png;base64"
        picture = base64.b64decode(encoded, validate=True)
        assert picture == (out / "figures" / f"{name}.png").read_bytes()
        Image.open(io.BytesIO(picture)).load()
        assert len(str(image["alt"])) > 20


def test_html_needs_nothing_from_outside(out: Path, page: Page) -> None:
    sources = [attributes[name] for _, attributes in page.tags for name in ("src", "href") if name in attributes]
    assert all(str(source).startswith("data:") for source in sources)
    text = (out / "comparison.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|url\(|@import", text)


def test_markdown_cells_are_escaped(markdown: str) -> None:
    clips = markdown_table(markdown, "label")
    assert clips[0] == ["label", "train", "valid", "test", "all"]
    assert clips[2:] == [
        ["bach", "10", "2", "5", "17"],
        ["&lt;img src=x onerror=alert(1)&gt;", "9", "2", "5", "16"],
        [r"a\|b", "8", "2", "5", "15"],
        [r"\*polka\*", "7", "2", "5", "14"],
        ["all", "34", "8", "20", "62"],
    ]
    assert markdown_table(markdown, "reason")[2:] == [[r"duplicate \| of another", "3"], ["silent", "2"]]
    assert "<" not in markdown


def test_markdown_shows_every_figure(out: Path, markdown: str) -> None:
    assert re.findall(r"!\[[^\]]{20,}\]\(([^)]+)\)", markdown) == [f"figures/{name}.png" for name in FIGURES]
    assert all((out / f"figures/{name}.png").is_file() for name in FIGURES)


def test_a_leaky_split_is_marked_beside_its_scores(tmp_path: Path) -> None:
    leaky = dataclasses.replace(DATA, leaky=True, protocol="random: one split. Leaky: groups are cut.")
    comparison([CNN, MLP], [], {}, leaky, tmp_path)
    page = Page((tmp_path / "comparison.html").read_text(encoding="utf-8"))
    header = page.tables[0][0]
    scores = [name for name in header if name.startswith(("valid", "test"))]
    assert len(scores) == 5
    assert all(name.endswith("(leaky)") for name in scores)
    assert "Leaky: groups are cut." in page.text
    assert page.text.count("Scores of a leaky split.") == len(page.images())


def test_models_with_a_page_are_linked(tmp_path: Path) -> None:
    paged = [dataclasses.replace(one, page=f"models/{one.key}.html") for one in (CNN, MLP)]
    comparison([*paged, MAJORITY], [], {}, DATA, tmp_path)
    page = Page((tmp_path / "comparison.html").read_text(encoding="utf-8"))
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links == ["models/cnn.html", "models/m_l_p.html"]
    assert "[cnn](models/cnn.html)," in (tmp_path / "comparison.md").read_text(encoding="utf-8")


def test_a_fusion_shows_the_drop_without_each_branch(tmp_path: Path, page: Page, markdown: str) -> None:
    table = pd.DataFrame(
        {
            "branch": ["ears", EVIL],
            "macro_f1": [0.5, 0.71],
            "worth": [0.2, -0.01],
            "low": [0.1, -0.05],
            "high": [0.3, 0.03],
        }
    )
    fused = dataclasses.replace(CNN, key="fusion", ablation=table)
    comparison([fused, MLP], [], {}, DATA, tmp_path)
    rows = [table for table in Page((tmp_path / "comparison.html").read_text()).tables if "drop" in table[0]]
    assert rows == [
        [
            ["model", "branch", "macro F1 without it", "drop", "95 % interval"],
            ["fusion", "ears", "0.500", "+0.200", "+0.100 to +0.300"],
            ["fusion", EVIL, "0.710", "-0.010", "-0.050 to +0.030"],
        ]
    ]
    assert "| fusion | ears | 0.500 | +0.200 | +0.100 to +0.300 |" in (tmp_path / "comparison.md").read_text()
    assert "Ablation" not in page.text + markdown, "where nothing is fused"


def test_a_leak_that_could_not_be_measured_says_why(tmp_path: Path) -> None:
    comparison([CNN], [], {"cnn": {"impossible": "too few <groups>"}}, DATA, tmp_path)
    page = Page((tmp_path / "comparison.html").read_text(encoding="utf-8"))
    assert "cnn: the leak could not be measured: too few <groups>" in page.text
    assert "leak.png" not in (tmp_path / "comparison.md").read_text(encoding="utf-8")


def test_several_trainings_have_a_spread(tmp_path: Path) -> None:
    folds = dataclasses.replace(
        CNN,
        trials=2,
        metrics={**CNN.metrics, "test_macro_f1_mean": 0.61, "test_macro_f1_sd": 0.08},
        history=pd.concat([CNN.history, CNN.history.assign(fold=1)]),
    )
    comparison([folds], [], {}, DATA, tmp_path)
    header, row = Page((tmp_path / "comparison.html").read_text(encoding="utf-8")).tables[0]
    assert row[header.index("mean ± sd of trainings")] == "0.610 ± 0.080"
    assert row[-1] == f"{metrics.fluctuation(CNN.history['valid_macro_f1']):.3f}"


def test_runs_table(page: Page) -> None:
    assert page.tables[-1][1] == ["cnn", "1,234,567", "5", "1 min 15 s", "run-of-cnn"]
    assert page.tables[-1][3][2] == "–"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("a\\|b", r"a\\\|b"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("two\nlines\tand tab", "two lines and tab"),
        ("[x](y) `c` $m$ ~s~ *b* _i_", r"\[x\](y) \`c\` \$m\$ \~s\~ \*b\* \_i\_"),
        ("bach-chorale 1.5", "bach-chorale 1.5"),
    ],
)
def test_escape_markdown(text: str, shown: str) -> None:
    assert escape_markdown(text) == shown


def test_one_model_that_is_the_baseline(tmp_path: Path) -> None:
    tied = entry("majority", 1.0, [[4, 1, 0, 0], [0, 4, 0, 0], [0, 0, 4, 1], [0, 0, 0, 4]])
    tied = dataclasses.replace(tied, run_id=None, wall_time_s=4000.0)
    comparison([tied], [], {}, dataclasses.replace(DATA, rejected={}), tmp_path)
    text = (tmp_path / "comparison.md").read_text(encoding="utf-8")
    for sentence in (
        "No model beats the baseline on validation, which always predicts the most frequent label.",
        "equally good on all labels (F1 0.89)",
        r"1 of their 9 clips are predicted as the other. As often: a\|b and \*polka\*.",
        "No clip was rejected.",
        "| 1 h 6 min | – |",
    ):
        assert sentence in text
    assert "Higher test macro F1" not in text


def test_rank() -> None:
    def variant(key: str, f1: float, loss: float) -> Entry:
        return dataclasses.replace(CNN, key=key, metrics={"valid_macro_f1": f1, "valid_loss": loss})

    unknown = float("nan")
    given = [
        variant("b", unknown, 0.1),
        variant("c", 0.5, unknown),
        variant("d", 0.5, 0.9),
        variant("f", 0.5, 0.4),
        variant("e", 0.5, 0.4),
        variant("a", 0.4, 0.1),
        variant("g", 0.6, 2.0),
    ]
    assert "".join(entry.key for entry in rank(given)) == "gefdcab"
