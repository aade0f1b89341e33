"""`make bench`: its figures and those of the documents have the same names, and each stands beside its baseline."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import __main__ as bench
from benchmarks import decoders, repro, table
from benchmarks.timing import Row, row
from pipeline.base.errors import UserError
from pipeline.base.files import read_json
from pipeline.base.text import UNKNOWN

ROOT = Path(__file__).parents[1]
NAMES = bench.names()


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs `python -m benchmarks --only decoders`, whose JSON the tests read, in the checkout."""
    soundfile.write(tmp_path / "clip.wav", np.zeros(100), 22050)
    out = tmp_path / "bench.json"
    asked = ["--clips", str(tmp_path), "--count", "1", "--repeats", "1", "--only", "decoders", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *asked])
    monkeypatch.chdir(ROOT)
    return out


def test_a_run_ends_with_its_figures_beside_the_documents(typed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table.write(typed, {"stale": Row("no longer measured", 1.0, "x", 2.0, 0.5)})
    bench.main()
    [found] = read_json(typed)
    assert found["what"] == decoders.FLAC
    assert found["ratio"] == pytest.approx(found["ours"] / found["theirs"])
    assert re.search(r"\d+ cores$", found["on"])
    shown = capsys.readouterr().out.split("\n\n")[-2]
    lines = {name: line for line in shown.splitlines() for name in NAMES if line.startswith(f"{name} ")}
    assert list(lines) == NAMES
    assert len(re.findall(r"\d ms", lines[decoders.FLAC])) == 3, "that of the document, of this run, and its baseline's"
    assert lines[NAMES[0]].count(UNKNOWN) == 3, "it was not asked for"


@pytest.mark.usefixtures("typed")
def test_a_figure_that_a_benchmark_does_not_name_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "run", lambda *_: iter([row("decode", "x", [(1.0, 2.0)])]))
    with pytest.raises(RuntimeError, match=r"FIGURES of benchmarks/decoders.py lack 'decode'"):
        bench.main()


def test_the_document_has_the_figures_that_benchmarks_give() -> None:
    kept = table.read(ROOT / table.OUT)
    assert list(kept) == [name for name in NAMES if name in kept], "no benchmark gives the others"
    text = (ROOT / table.DOCUMENT).read_text(encoding="utf-8")
    assert table.updated(text, NAMES, kept) == text
    shown = text.split(table.BEGIN)[1].split(table.END)[0]
    assert re.findall(r"^\| (.+?) \| [\d–]", shown, re.MULTILINE) == NAMES
    with pytest.raises(UserError, match="lacks the line"):
        table.updated(text.replace(table.END, ""), NAMES, kept)


def test_values_are_shown_in_their_unit_and_as_multiples_of_the_baseline() -> None:
    figures = [
        row("a", "x", [(0.02, 0.4), (0.02, 0.8), (0.03, 0.6)]),
        row("b", "y", [(3.0, 2.0), (4.0, 2.0)], of=max),
        Row("c", 1500.4, "z", 1500.0, 1500.4 / 1500, "MB"),
        Row("d", 2.0219, "w", 2.025, 2.0219 / 2.025, ""),
    ]
    named = {one.what: one for one in figures}
    text = table.updated(f"{table.BEGIN}{table.END}", [*named, "e"], named)
    for line in (
        "| a | 20 ms | 600 ms: x | 1/20 |",
        "| b | 4 s | 2 s: y | 2 |",
        "| c | 1500 MB | 1500 MB: z | 1 |",
        "| d | 2.022 | 2.025: w | 0.998 |",
        "| e | – | – | – |",
    ):
        assert line in text


def test_the_first_run_is_measured_against_another_commit_and_a_run_without_work_against_dvc_itself() -> None:
    ours = read_json(ROOT / repro.OUT)["ours"]
    found = list(repro.rows({"ours": ours, "theirs": dict.fromkeys(repro.FIGURES, 1000.0)}))
    assert tuple(one.what for one in found) == repro.FIGURES
    baselines = [1000.0, 1000.0, ours[repro.VERSION], ours[repro.VERSION]]
    assert [one.theirs for one in found] == baselines
    assert [one.ratio for one in found] == [ours[one.what] / one.theirs for one in found]


def test_what_the_readme_promises_of_the_first_run_was_measured() -> None:
    figures = table.read(ROOT / table.OUT)
    promised = re.search(r"(\d+) to (\d+) minutes on two cores", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert promised
    low, high = map(int, promised.groups())
    assert low <= (figures[repro.INSTALL].ours + figures[repro.FIRST].ours) / 60 <= high
    assert figures[repro.INSTALL].on.endswith(" 2 cores")
