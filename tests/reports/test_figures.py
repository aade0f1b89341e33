"""Figures: what they show, that nothing odd in the data breaks them, and the same bytes every time."""

import hashlib
import io
import math
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import colors
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from pipeline.reports import figures
from pipeline.reports.pages import DPI
from tutorial.report import beside

LABELS = ["bach-chorale", "irish-tune", r"$\no{formula}$ but a rather long name"]
"""The last one makes matplotlib raise if it takes the dollars for a formula."""


def matrix(*rows: list[int], labels: list[str] = LABELS) -> pd.DataFrame:
    return pd.DataFrame(list(rows), index=labels, columns=labels)


def a_matrix() -> pd.DataFrame:
    return matrix([8, 2, 0], [0, 0, 0], [3, 0, 7])


def history(epochs: int, level: float = 0.5) -> pd.DataFrame:
    noise = np.random.default_rng(epochs).normal(0, 0.03, epochs)
    return pd.DataFrame(
        {
            "fold": 0,
            "seed": 7,
            "epoch": np.arange(epochs),
            "train_loss": 1.5 - level + noise,
            "train_accuracy": level + noise,
            "valid_loss": 2.0 - level + noise,
            "valid_accuracy": level + noise,
            "valid_macro_f1": level - noise,
        }
    )


def per_class(f1: list[float], support: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"label": LABELS, "precision": f1, "recall": f1, "f1": f1, "support": support})


def score_table() -> pd.DataFrame:
    rows = {"cnn": (0.7, 0.65), "mlp": (0.5, math.nan), "majority": (0.1, 0.12)}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["valid_macro_f1", "test_macro_f1"])


def leak_table() -> pd.DataFrame:
    """Two models, the second without intervals."""
    nan = math.nan
    columns = [f"{name}{end}" for name in ("grouped", "random") for end in ("", "_low", "_high")]
    rows = {"mlp": (0.48, 0.42, 0.54, 0.63, 0.6, 0.66), "logreg": (0.5, nan, nan, 0.5, nan, nan)}
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def bins(accuracy: list[float]) -> pd.DataFrame:
    """A table of two bins, the first with a quarter of the clips."""
    return pd.DataFrame({"clips": [5, 15], "confidence": [0.3, 0.9], "accuracy": accuracy})


def some_bins(count: int) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    return {key: (bins([0.1, 0.5]), bins([0.25, 0.8])) for key in "abcdefgh"[:count]}


DRAW: dict[str, Callable[[], Figure]] = {
    "confusion": lambda: figures.confusion(a_matrix(), "cnn, $test$"),
    "confusion_grid": lambda: figures.confusion_grid({key: a_matrix() for key in "abcde"}),
    "curves": lambda: figures.curves({"cnn": history(20), "majority": history(0), "mlp": history(1)}),
    "beside": lambda: beside({"theirs": {"cnn": history(20)}, "ours": {"cnn": history(1)}}),
    "scores": lambda: figures.scores(score_table()),
    "leak": lambda: figures.leak(leak_table()),
    "reliability": lambda: figures.reliability(some_bins(3)),
    "per_class_heatmap": lambda: figures.per_class_heatmap(
        {"cnn": per_class([0.9, 0.2, 0], [10, 5, 0]), "mlp": per_class([0.5, 0.3, 0], [10, 5, 0])}
    ),
}


def texts(figure: Figure) -> list[str]:
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


def colour_of_lines(figure: Figure) -> dict[str, str]:
    legend = figure.axes[2].get_legend()
    assert legend is not None
    lines = zip(legend.get_texts(), legend.get_lines(), strict=True)
    return {text.get_text(): colors.to_hex(line.get_color()) for text, line in lines}


@pytest.mark.parametrize("name", DRAW)
def test_the_same_input_gives_the_same_picture(name: str) -> None:
    first, second = figures.png(DRAW[name]()), figures.png(DRAW[name]())
    assert first == second
    picture = Image.open(io.BytesIO(first))
    picture.load()
    assert picture.format == "PNG"
    assert "Software" not in picture.info
    assert min(picture.size) > 150
    assert max(picture.size) <= figures.WIDTH * DPI


def test_save_writes_the_picture_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "new" / "scores.png"
    figures.save(DRAW["scores"](), file)
    assert file.read_bytes() == figures.png(DRAW["scores"]())
    assert list(file.parent.iterdir()) == [file]


def test_another_process_gives_the_same_bytes_and_needs_no_pyplot() -> None:
    program = (
        "import hashlib, sys, pandas as pd; from pipeline.reports import figures as f;"
        "m = pd.DataFrame([[3, 1], [0, 4]], index=['a', 'b'], columns=['a', 'b']);"
        "print(hashlib.sha256(f.png(f.confusion(m, 't'))).hexdigest(), 'matplotlib.pyplot' in sys.modules)"
    )
    other = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    here = figures.png(figures.confusion(matrix([3, 1], [0, 4], labels=["a", "b"]), "t"))
    assert other.split() == [hashlib.sha256(here).hexdigest(), "False"]


def test_confusion_writes_counts_and_shades_by_row() -> None:
    figure = figures.confusion(a_matrix(), "cnn")
    shades = np.asarray(figure.axes[0].collections[0].get_array())
    assert shades.tolist() == [[0.8, 0.2, 0.0], [0.0, 0.0, 0.0], [0.3, 0.0, 0.7]]
    shown = texts(figure)
    assert {"8", "2", "3", "7", "actual", "predicted", "bach-chorale", "cnn"} <= set(shown)
    assert "0" not in shown


def test_confusion_columns_do_not_overlap() -> None:
    labels = [f"a rather long label {number}" for number in range(12)]
    figure = figures.confusion(pd.DataFrame(np.eye(12, dtype=int), index=labels, columns=labels), "cnn")
    figure.draw_without_rendering()
    ticks = figure.axes[0].get_xticklabels()
    assert all(tick.get_rotation() == 45 for tick in ticks)
    boxes = [tick.get_window_extent() for tick in ticks]
    height = float(ticks[0].get_fontsize()) * figure.dpi / 72
    # At 45 degrees lines stay apart whose ends are further apart than a line is high, times the root of 2.
    assert all(right.x1 - left.x1 > height * math.sqrt(2) for left, right in pairwise(boxes))


def test_a_grid_shows_every_model_and_hides_the_empty_places() -> None:
    figure = DRAW["confusion_grid"]()
    assert [axes.get_title() for axes in figure.axes if axes.get_visible()] == list("abcde")
    assert len(figure.axes) == 6


def test_a_model_has_the_same_colour_in_any_order_and_untrained_models_have_no_line() -> None:
    keys = ["cnn", "mlp", "majority", "transfer"]
    histories = {key: history(0 if key == "majority" else 5) for key in keys}
    one = colour_of_lines(figures.curves(histories))
    other = colour_of_lines(figures.curves({key: histories[key] for key in reversed(keys)}))
    assert one == other
    assert list(one) == ["cnn", "mlp", "transfer"]
    assert len(set(one.values())) == 3

    table = pd.DataFrame({"valid_macro_f1": 0.5, "test_macro_f1": 0.5}, index=keys)
    bars = figures.scores(table).axes[0].patches
    bar_colours = {key: colors.to_hex(bars[2 * place].get_facecolor()) for place, key in enumerate(keys)}
    assert {key: bar_colours[key] for key in one} == one


def test_more_models_than_colours_differ_by_line() -> None:
    figure = figures.curves({f"model-{number:02d}": history(4) for number in range(20)})
    lines = figure.axes[0].get_lines()
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 20


def test_curves_show_each_column_of_the_history() -> None:
    given = history(6)
    axes = figures.curves({"cnn": given}).axes
    shown = {panel.get_title(loc="left"): panel.get_lines()[0].get_ydata() for panel in axes if panel.get_lines()}
    assert list(shown) == [
        "training loss",
        "training accuracy",
        "validation loss",
        "validation accuracy",
        "validation macro F1",
    ]
    columns = ["train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "valid_macro_f1"]
    for values, column in zip(shown.values(), columns, strict=True):
        np.testing.assert_array_equal(values, given[column])


def test_curves_survive_losses_of_zero_infinity_and_nan() -> None:
    odd = history(6)
    odd["train_loss"] = 0.0
    odd["valid_loss"] = [1.0, math.inf, math.nan, 1e6, 2.0, 1.0]
    figure = figures.curves({"odd": odd})
    figure.draw_without_rendering()
    assert [figure.axes[place].get_yscale() for place in (0, 3)] == ["linear", "log"]


def test_curves_say_when_there_are_none() -> None:
    assert "no model was trained by epochs" in texts(figures.curves({"majority": history(0)}))


def test_ways_of_training_stand_side_by_side_in_the_same_colours() -> None:
    theirs = {"cnn": history(30), "transfer": history(20)}
    figure = beside({"$theirs$": theirs, "ours": {"transfer": history(5), "majority": history(0)}})
    loss, others, accuracy, _ = figure.axes
    assert [len(line.get_xdata()) for line in loss.get_lines()] == [30, 30, 20, 20]
    assert [len(line.get_xdata()) for line in others.get_lines()] == [5, 5]
    assert others.get_lines()[0].get_color() == loss.get_lines()[2].get_color()
    assert list(accuracy.get_lines()[1].get_ydata()) == list(theirs["cnn"]["valid_accuracy"])
    assert {"loss", "accuracy", "ours"} <= set(texts(figure))


def test_scores_draw_the_baseline_only_if_it_is_there() -> None:
    with_line = figures.scores(score_table())
    assert [list(np.asarray(line.get_xdata())) for line in with_line.axes[0].get_lines()] == [[0.12, 0.12]]
    assert "0.650" in texts(with_line)
    assert not figures.scores(score_table().drop(index="majority")).axes[0].get_lines()


def test_scores_draw_the_intervals_that_they_are_given() -> None:
    table = score_table().assign(test_macro_f1_low=[0.6, math.nan, 0.1], test_macro_f1_high=[0.72, math.nan, 0.2])
    axes = figures.scores(table).axes[0]
    *intervals, baseline = [list(np.asarray(line.get_xdata())) for line in axes.get_lines()]
    assert intervals == [[0.6, 0.72], [0.1, 0.2]]
    assert baseline == [0.12, 0.12]
    assert [text.get_text() for text in axes.texts] == [
        *("0.700", "0.650 (0.60 to 0.72)"),
        *("0.500", "–"),
        *("0.100", "0.120 (0.10 to 0.20)"),
    ]


def test_values_stand_beside_the_bars_where_nothing_else_is() -> None:
    table = score_table().assign(test_macro_f1_low=0.9, test_macro_f1_high=1.0)
    figure = figures.scores(table)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    right = axes.get_window_extent().x1
    assert all(text.get_window_extent().x0 > right for text in axes.texts)
    assert all(text.get_window_extent().x1 <= figure.bbox.x1 for text in axes.texts)


def test_reliability_has_a_panel_per_model_with_dots_before_and_after() -> None:
    figure = figures.reliability(some_bins(5))
    assert [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()] == list("abcde")
    diagonal, before, after = ([*zip(*line.get_data(), strict=True)] for line in figure.axes[0].get_lines())
    assert diagonal == [(0, 0), (1, 1)]
    assert before == [(0.3, 0.1), (0.9, 0.5)]
    assert after == [(0.3, 0.25), (0.9, 0.8)]
    (intervals,) = figure.axes[0].collections
    ends = [segment[:, 1].tolist() for segment in intervals.get_segments()]
    assert ends[1] == pytest.approx([0.548, 0.930], abs=0.001), "Wilson's interval of 12 in 15"
    told = {"before", "after temperature scaling", "confidence", "accuracy", "overconfident", "underconfident"}
    assert told <= set(texts(figure))


def test_the_two_ways_of_a_leak_do_not_cover_each_other() -> None:
    axes = figures.leak(leak_table()).axes[0]
    heights = [line.get_ydata()[0] for line in axes.get_lines() if line.get_marker() == "o"]
    assert len(set(heights)) == 2
    assert [text.get_text() for text in axes.texts] == ["+0.15", "+0.00"]


def test_a_legend_names_the_whole_curve() -> None:
    figure = figures.roc({"held-out labels (AUROC 0.59)": ([0, 1], [0, 1])})
    assert "held-out labels (AUROC 0.59)" in texts(figure)


def test_heatmap_puts_easy_labels_on_top_and_leaves_absent_ones_open() -> None:
    tables = {"cnn": per_class([0.1, 0.9, 0.0], [4, 5, 0]), "mlp": per_class([0.2, 0.3, 0.0], [4, 5, 0])}
    figure = figures.per_class_heatmap(tables)
    cells = [text.get_text() for text in figure.axes[0].texts]
    rows = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert [row.rsplit(" ", 1)[1] for row in rows] == ["(5)", "(4)", "(0)"]
    assert rows[0].startswith("irish-tune")
    assert cells == ["0.90", "0.30", "0.10", "0.20", "–", "–"]
