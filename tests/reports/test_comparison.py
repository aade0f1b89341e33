"""The comparison: who is chosen, what the text says, and that no name gets out of its place."""

import base64
import dataclasses
import html
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.evaluation import calibration, metrics
from pipeline.evaluation.bootstrap import Comparison, Interval
from pipeline.evaluation.choice import Choice
from pipeline.reports import answer
from pipeline.reports.comparison import comparison, rank
from pipeline.reports.entries import DataSummary, Entry
from pipeline.reports.pages import escape_markdown

EVIL = "<img src=x onerror=alert(1)>"
LABELS = ["bach", EVIL, "a|b", "*polka*"]
Ends = tuple[float, float, float]
FIGURES = ["scores", "confusion", "per-class", "confusions", "reliability", "leak", "curves"]


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
        model=key,
        never=[],
        metrics={
            "valid_macro_f1": valid_f1,
            "valid_accuracy": valid_f1,
            "valid_loss": 1 - valid_f1,
            "valid_macro_f1_low": valid_f1 - 0.1,
            "valid_macro_f1_high": valid_f1 + 0.1,
            "expected_macro_f1": valid_f1,
            "expected_macro_f1_low": valid_f1 - 0.1,
            "expected_macro_f1_high": valid_f1 + 0.1,
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
        run=(f"run-of-{key}", f"http://127.0.0.1:5000/#/run-of-{key}"),
        wall_time_s=75.4,
        parameters=1_234_567,
        network_ms=2.0,
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
    Comparison("m_l_p", "majority", Interval(0.8, 0.6, 0.9), clips=20, groups=9),
]


CHOICE = Choice("cnn", "cnn", ["cnn", "m_l_p"], {"cnn": 12.0, "m_l_p": 40.0, "majority": 2.0})


def alone(*keys: str) -> Choice:
    """The first, better than the others."""
    return Choice(keys[0], keys[0], [keys[0]], dict.fromkeys(keys, 5.0))


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
        self.first_box = " ".join(
            html.unescape(re.sub("<[^>]*>", "", source.split('class="panel">')[1].split("</div>")[0])).split()
        )
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
    comparison([MAJORITY, MLP, CNN], CHOICE, PAIRS, LEAKS, DATA, {"Data": "data.html"}, folder)
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
    assert header[1:3] == ["validation F1", "test F1"]
    assert [row[1] for row in rows] == ["0.800", "0.600", "0.100"]
    assert [row[2] for row in rows] == [f"{e.metrics['test_macro_f1']:.3f}" for e in (CNN, MLP, MAJORITY)]
    assert page.tables[0][1][1:] == rows[0][1:]


def test_the_first_box_says_the_answer(page: Page) -> None:
    for sentence in (
        "Chosen model: cnn, cnn on tabular",
        f"Macro F1 on the test set: {CNN.metrics['test_macro_f1']:.2f} (95 % interval 0.50 to 0.90). "
        "80 % of its 20 clips are labelled correctly.",
        "No significant difference between the two trained models on these 20 clips: on other clips the order may change.",
        "The baseline majority, which always predicts the most frequent label, reaches 0.10; "
        "both models are significantly better.",
        f"Most frequent mistake: {EVIL} was predicted as a|b 2 of 5 times.",
        "Scores of a|b are uncertain: their test clips are of one or two groups.",
        "cnn was chosen: it has the highest macro F1 on validation. Not significantly worse there, but not much cheaper to "
        "run: m_l_p. Features and network take for a clip: cnn 12 ms and m_l_p 40 ms. "
        "Its macro F1 on validation is 0.80 (0.70 to 0.90). Test scores were not used to choose.",
        f"Higher on the test set: m_l_p ({MLP.metrics['test_macro_f1']:.2f}). We do not choose by test score",
    ):
        assert sentence in page.first_box


def test_the_text_says_the_rest(page: Page) -> None:
    text = " ".join(page.text.split())
    for sentence in (
        "The chosen model first, the others by validation macro F1",
        "Rejected clips, which are in no part: 5",
        "Split: grouped: one split.",
        "m_l_p has a macro F1 of 0.48 (0.42 to 0.54) in 5 folds with groups kept together, and of "
        "0.63 (0.60 to 0.66) with groups ignored. The leak is worth +0.15 (+0.10 to +0.20).",
        "with groups ignored. No leak detected: +0.02 (−0.10 to +0.10).",
        "cnn: every clip is a group of its own",
        "on the same 20 test clips, with its 95 % interval. The intervals hold for all 3 pairs at once.",
    ):
        assert sentence in text


def test_differences_are_one_matrix(page: Page, markdown: str) -> None:
    (matrix,) = [table for table in page.tables if table[0][0] == "row − column"]
    assert matrix == [
        ["row − column", "m_l_p", "majority"],
        ["cnn", "+0.02−0.10 to +0.20", "+0.70+0.50 to +0.80"],
        ["m_l_p", "", "+0.80+0.60 to +0.90"],
    ]
    shades = [
        own["class"] for tag, own in page.tags if tag == "td" and own.get("class") in ("ahead", "behind", "level")
    ]
    assert shades == ["level", "ahead", "ahead"]
    assert markdown_table(markdown, "row − column")[2:] == [
        ["cnn", "+0.02 (−0.10 to +0.20)", "**+0.70** (+0.50 to +0.80)"],
        [r"m\_l\_p", "", "**+0.80** (+0.60 to +0.90)"],
    ]


def test_a_row_that_is_worse_is_marked_so() -> None:
    pair = Comparison("b", "a", Interval(0.3, 0.1, 0.5), clips=9, groups=9)
    assert answer.matrix(["a", "b"], [pair]) == [("a", [answer.Difference("−0.30", "−0.50 to −0.10", "behind")])]


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (
            [("a", "b", True), ("a", "c", False), ("b", "c", False)],
            "On the test set it is significantly better than b; it is not significantly different from c.",
        ),
        (
            [("a", "b", True), ("c", "a", True), ("b", "c", False)],
            "On the test set it is significantly better than b; it is significantly worse than c.",
        ),
        (
            [("b", "a", False), ("c", "a", False), ("b", "c", True)],
            "On the test set it is not significantly different from b and c.",
        ),
        ([], ""),
    ],
)
def test_what_can_be_told_about_the_best_model(pairs: list[tuple[str, str, bool]], told: str) -> None:
    made = [
        Comparison(better, worse, Interval(0.3, 0.1 if distinct else -0.1, 0.5), clips=9, groups=9)
        for better, worse, distinct in pairs
    ]
    assert answer.differences("a", ["a", "b", "c"], made) == told


def test_it_is_said_whether_training_paid() -> None:
    tags = replace(MLP, key="tags", model="zero-shot", never=["a|b"])
    ahead = [Comparison("cnn", "tags", Interval(0.2, 0.1, 0.3), clips=20, groups=9)]
    told = answer.answer([CNN, tags, MAJORITY], CHOICE, ahead, DATA)
    words = "Without training, tags reaches 0.95; significantly better: cnn. It never predicts a|b, for which it knows no tag."
    assert words in told
    level = [Comparison("tags", "cnn", Interval(0.1, -0.1, 0.3), clips=20, groups=9)]
    best = answer.answer([tags, CNN, MAJORITY], alone("tags"), level, DATA)
    assert any(
        line.startswith("Without training, tags reaches 0.95; no trained model is significantly better.")
        for line in best
    )
    assert "On the test set it is not significantly different from cnn." in best


def test_the_mistakes_that_matter_come_first(page: Page) -> None:
    (mistakes,) = [table for table in page.tables if table[0][:2] == ["true label", "predicted as"]]
    assert mistakes == [
        ["true label", "predicted as", "clips, cnn", "clips, all trained models"],
        [EVIL, "a|b", "2 of 5", "2 of 10"],
        ["a|b", EVIL, "1 of 5", "1 of 10"],
        ["*polka*", "bach", "1 of 5", "2 of 10"],
    ]


def test_scaling_that_makes_calibration_worse_is_said(tmp_path: Path, page: Page) -> None:
    (better,) = [table for table in page.tables if table[0][-1] == "scaling made it"]
    assert [row[-1] for row in better[1:]] == ["better", "better"]
    assert "Temperature scaling made" not in page.text
    worse = dataclasses.replace(CNN, metrics={**CNN.metrics, "test_ece": 0.11, "test_ece_scaled": 0.16})
    comparison([worse, MLP], CHOICE, [], {}, DATA, {}, tmp_path)
    found = Page((tmp_path / "comparison.html").read_text(encoding="utf-8"))
    assert "Temperature scaling made the calibration error larger for cnn (0.11 to 0.16)" in " ".join(
        found.text.split()
    )


def test_runs_are_linked(page: Page, markdown: str) -> None:
    links = [own["href"] for tag, own in page.tags if tag == "a"]
    assert links[0] == "data.html"
    assert links[-3:] == [entry.run[1] for entry in (CNN, MLP, MAJORITY)]
    assert f"[run-of-cnn]({CNN.run[1]})" in markdown


def test_names_stay_text_in_html(out: Path, page: Page) -> None:
    assert EVIL not in (out / "comparison.html").read_text(encoding="utf-8")
    assert EVIL in page.text
    assert {tag for tag, _ in page.tags} & {"b", "script", "link", "iframe"} == set()
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert len(page.images()) == len(FIGURES)
    assert [row[0] for row in page.tables[-2]] == ["label", *LABELS, "all"]


def test_all_pictures_are_embedded_and_described(out: Path, page: Page) -> None:
    for image, name in zip(page.images(), FIGURES, strict=True):
        kind, encoded = str(image["src"]).split(",")
        assert kind == "data:image/png;base64"
        picture = base64.b64decode(encoded, validate=True)
        assert picture == (out / "figures" / f"{name}.png").read_bytes()
        Image.open(io.BytesIO(picture)).load()
        assert len(str(image["alt"])) > 20


def test_html_needs_nothing_from_outside(out: Path, page: Page) -> None:
    assert all(str(image["src"]).startswith("data:") for image in page.images())
    text = (out / "comparison.html").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import", text)
    assert text.count("http") == text.count('<a href="http'), "links to click are no requests"


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
    comparison([CNN, MLP], CHOICE, [], {}, leaky, {}, tmp_path)
    page = Page((tmp_path / "comparison.html").read_text(encoding="utf-8"))
    header = page.tables[0][0]
    scores = [name for name in header if name.startswith(("valid", "test"))]
    assert len(scores) == 5
    assert "Leaky: groups are cut." in page.first_box
    assert all(name.endswith("(leaky)") for name in scores)
    assert page.text.count("Scores of a leaky split.") == len(page.images())


def test_models_with_a_page_are_linked(tmp_path: Path) -> None:
    paged = [dataclasses.replace(one, page=f"models/{one.key}.html") for one in (CNN, MLP)]
    comparison([*paged, MAJORITY], CHOICE, [], {}, DATA, {}, tmp_path)
    page = Page((tmp_path / "comparison.html").read_text(encoding="utf-8"))
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert [link for link in links if not str(link).startswith("http")] == [
        "models/cnn.html",
        *("models/cnn.html", "models/m_l_p.html"),
    ]
    text = (tmp_path / "comparison.md").read_text(encoding="utf-8")
    assert "[Mistakes of cnn](models/cnn.html) · " in text
    assert "| [cnn](models/cnn.html) |" in text


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
    comparison([fused, MLP], alone("fusion", "m_l_p"), [], {}, DATA, {}, tmp_path)
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
    comparison([CNN], CHOICE, [], {"cnn": {"impossible": "too few <groups>"}}, DATA, {}, tmp_path)
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
    comparison([folds], CHOICE, [], {}, DATA, {}, tmp_path)
    header, row = Page((tmp_path / "comparison.html").read_text(encoding="utf-8")).tables[0]
    assert row[header.index("mean ± sd of trainings")] == "0.610 ± 0.080"


def test_runs_table(page: Page) -> None:
    assert page.tables[-3][1] == ["cnn", "1,234,567", "5", "1 min 15 s", "run-of-cnn"]
    assert page.tables[-3][3][2] == "–"


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
    tied = dataclasses.replace(tied, wall_time_s=3965.0)
    comparison([tied], alone("majority"), [], {}, dataclasses.replace(DATA, rejected={}), {}, tmp_path)
    text = (tmp_path / "comparison.md").read_text(encoding="utf-8")
    for sentence in (
        "No model beats the baseline on validation, which always predicts the most frequent label.",
        r"Most frequent mistake: bach was predicted as &lt;img src=x onerror=alert(1)&gt; 1 of 5 times.",
        "No clip was rejected.",
        "| 1 h 06 min | [run-of-majority]",
    ):
        assert sentence in text
    assert "Higher on the test set" not in text


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
    assert "".join(entry.key for entry in rank(given, "g")) == "gefdcab"
    assert "".join(entry.key for entry in rank(given, "f")) == "fgedcab", "the chosen one is first"
