"""The stage ``page``: the lesson's page, figures, tables and its MLflow run."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lessons.common import lesson
from lessons.posts.effects import DAYS
from lessons.posts.evaluate import TOGETHER
from lessons.posts.hours import WINDOW
from lessons.posts.models import NAMES
from lessons.posts.settings import ANSWERS, BRANCHES, EVALUATION, LESSON, MODELS, POSTS, SPLIT, Params
from pipeline.base.errors import reported
from pipeline.base.files import read_json
from pipeline.base.text import listed, percent
from pipeline.reports.figures import GREY, OKABE_ITO, WIDTH, canvas, plain, tidy
from pipeline.reports.pages import environment

COLOURS = dict(zip((*NAMES, TOGETHER), OKABE_ITO, strict=False))
SHOWN_WORDS = 12
"""At either end."""
ENDS = ("", "_low", "_high")


def span(row: Any, name: str, digits: int = 2) -> str:
    """0.30 (0.25 to 0.35)"""
    value, low, high = (f"{row[name + end]:.{digits}f}" for end in ENDS)
    return f"{value} ({low} to {high})"


def points(row: Any, name: str) -> str:
    """Log points as a share of points."""
    value, low, high = (f"{100 * np.expm1(row[name + end]):+.0f}" for end in ENDS)
    return f"{value} % ({low} to {high})"


class Tables:
    """What the stage ``evaluate`` left."""

    def __init__(self) -> None:
        self.of = {file.stem: pd.read_csv(file) for file in EVALUATION.glob("*.csv")}
        self.answers = read_json(ANSWERS)["model"]
        split = pd.read_parquet(SPLIT)
        self.test = int(((split["part"] == "test") & ~split["returning"]).sum())
        self.last = int((split["part"] == "test").sum())
        self.total, self.authors = len(split), pd.read_parquet(POSTS, columns=["author"])["author"].nunique()
        self.missing = [
            one for one in BRANCHES if one not in read_json(MODELS / self.answers / "model.json")["branches"]
        ]
        effects = self.of["effects"]
        self.made_up = "planted" in effects
        self.ablation = self.of["ablation"].set_index(["model", "branch"])


def findings(found: Tables) -> list[str]:
    scores = found.of["scores"].set_index("model")
    best = scores.loc[found.answers]
    own = found.ablation.loc[found.answers]
    matter = [f"{branch} {span(row, 'worth')}" for branch, row in own.iterrows() if row["worth_low"] > 0]
    rest = [branch for branch, row in own.iterrows() if row["worth_low"] <= 0]
    window, nine = (row for _, row in found.of["windows"].iterrows())
    splits = found.of["leak"].set_index("test posts")
    honest, random = splits.iloc[0], splits.iloc[-1]
    top = found.of["calibration"].iloc[-1]
    said = [
        f"{found.total:,} posts of {found.authors:,} authors. On the {found.test:,} latest posts of authors that are new, predictions and points "
        f"have a rank correlation of {span(best, 'test')} ({found.answers}, the best on validation of those that can say why; 0 is chance, 1 perfect). "
        f"On all of the last {found.last:,} posts it is {span(best, 'last')}; the mean of the {len(NAMES)} models has {span(scores.loc[TOGETHER], 'last')} there.",
        ("What a branch adds to the others: " + "; ".join(matter) + ". " if matter else "")
        + (f"No worth beside the others can be shown for {listed(rest)}." if rest else ""),
        f"Post at 9? Later posts from 09:00 to 12:00 differ from others by {points(nine, 'gain')} in points, all else the same: "
        + (
            "advice."
            if nine["gain_low"] > 0
            else "noise, as far as these posts can tell."
            if nine["gain_high"] > 0
            else "bad advice."
        )
        + f" The hours that were best in training, {window['hours']}: {points(window, 'gain')} in later posts, "
        + ("so the hour matters." if window["gain_low"] > 0 else "so no hour can be shown to matter."),
        f"A random split would have claimed {span(random, 'rank correlation')} for ridge, in place of {span(honest, 'rank correlation')}"
        + (
            ": a model that knows an author, or the news of a week, seems to know more of posts than it does."
            if random["rank correlation"] > honest["rank correlation_high"]
            else ": no leak by authors and news that these intervals could show."
        ),
        f"Of posts with a score of 10, {percent(top['train'])} were in the top tenth in training (out of fold), "
        + (
            f"and {percent(top['test'])} ({percent(max(top['test_low'], 0))} to {percent(top['test_high'])}) of new authors' later posts."
            if np.isfinite(top["test"])
            else "and too few later posts have that score to tell."
        ),
    ]
    if found.missing:
        said.append(f"Not in these posts: {listed(found.missing)}.")
    if found.made_up:
        effects = found.of["effects"]
        said.append(
            f"These posts are made up, with known effects: {int(effects['found'].sum())} of {len(effects)} true effects "
            f"({int((effects['planted'] != 0).sum())} of them not 0) are within their intervals. The tone has none of its own."
        )
    return said


def draw_scores(found: Tables) -> Figure:
    figure = canvas(WIDTH, 3.6)
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1, 1.3]})
    scores = found.of["scores"]
    for offset, part, marker in ((-0.14, "test", "o"), (0.14, "last", "s")):
        for place, row in scores.iterrows():
            errors = [[row[part] - row[f"{part}_low"]], [row[f"{part}_high"] - row[part]]]
            left.errorbar(row[part], place + offset, xerr=errors, fmt=marker, color=COLOURS[row["model"]], capsize=3)
    left.set_yticks(range(len(scores)), scores["model"])
    left.set(xlabel="rank correlation, later posts", ylim=(len(scores) - 0.5, -0.5))
    left.set_xlim(left=0)
    kinds = (("o", "new authors"), ("s", "all authors"))
    markers = [Line2D([], [], color=GREY, marker=marker, label=label) for marker, label in kinds]
    left.legend(handles=markers, fontsize=8, loc="upper left", frameon=False)
    branches = [branch for branch in BRANCHES if branch not in found.missing]
    for number, name in enumerate(NAMES):
        own = found.ablation.loc[name].loc[branches]
        errors = [own["worth"] - own["worth_low"], own["worth_high"] - own["worth"]]
        right.errorbar(
            own["worth"],
            np.arange(len(own)) + 0.2 * (number - 1),
            xerr=errors,
            fmt="o",
            color=COLOURS[name],
            capsize=3,
            label=name,
        )
    right.axvline(0, color="black", linewidth=1)
    right.set_yticks(range(len(branches)), branches)
    right.set(xlabel="lost rank correlation without the branch", ylim=(len(branches) - 0.5, -0.5))
    right.legend(fontsize=8, frameon=False)
    for axes in (left, right):
        tidy(axes, "x")
    return figure


def draw_branches(found: Tables) -> Figure:
    figure = canvas(7.4, 3.0)
    axes = figure.add_subplot()
    own = found.ablation.loc["ridge"]
    for offset, name, colour, label in (
        (-0.12, "alone", GREY, "alone"),
        (0.12, "worth", OKABE_ITO[0], "beside the others"),
    ):
        errors = [own[name] - own[f"{name}_low"], own[f"{name}_high"] - own[name]]
        axes.errorbar(
            own[name], np.arange(len(own)) + offset, xerr=errors, fmt="o", capsize=3, color=colour, label=label
        )
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(own)), own.index)
    axes.set(xlabel="rank correlation", ylim=(len(own) - 0.5, -0.5))
    axes.legend(fontsize=9, frameon=False)
    tidy(axes, "x")
    return figure


def draw_tenths(table: pd.DataFrame) -> Figure:
    figure = canvas(6.4, 3.6)
    axes = figure.add_subplot()
    errors = [table["test"] - table["test_low"].clip(lower=0), table["test_high"] - table["test"]]
    axes.plot(table["score"], 100 * table["train"], "s--", color=GREY, label="training posts, out of fold")
    axes.errorbar(
        table["score"],
        100 * table["test"],
        yerr=100 * np.clip(errors, 0, None),
        fmt="o",
        capsize=3,
        color=OKABE_ITO[0],
        label="later posts of new authors",
    )
    axes.axhline(10, color="black", linewidth=1, linestyle=":")
    axes.set(xlabel="score", ylabel="in the top tenth, %", xticks=table["score"], ylim=(0, None))
    axes.legend(fontsize=9, frameon=False)
    tidy(axes)
    return figure


def draw_tones(posts: pd.DataFrame) -> Figure:
    figure = canvas(6.4, 3.6)
    axes = figure.add_subplot()
    axes.axhline(posts["log points"].mean(), color=GREY, linestyle=":", label="mean of these groups")
    errors = [posts["log points"] - posts["log points_low"], posts["log points_high"] - posts["log points"]]
    axes.errorbar(range(len(posts)), posts["log points"], yerr=errors, fmt="o", capsize=3, color=OKABE_ITO[0])
    axes.set_xticks(
        range(len(posts)), [f"{row['tone']}\n{row['posts']:,} posts" for _, row in posts.iterrows()], fontsize=8
    )
    axes.set(xlabel="tone of the title (VADER), from angry to glad", ylabel="mean log points")
    axes.legend(fontsize=9, frameon=False)
    tidy(axes, "y")
    return figure


def draw_words(words: pd.DataFrame) -> Figure:
    figure = canvas(7.4, 0.9 + 0.26 * len(words))
    axes = figure.add_subplot()
    places = np.arange(len(words))
    sure = (words["low"] > 0) | (words["high"] < 0)
    for chosen, colour, label in ((sure, OKABE_ITO[0], "interval without 0"), (~sure, GREY, "no effect shown")):
        own = words[chosen]
        errors = [own["effect"] - own["low"], own["high"] - own["effect"]]
        axes.errorbar(own["effect"], places[chosen], xerr=errors, fmt="o", capsize=2, color=colour, label=label)
    if "planted" in words:
        axes.plot(words["planted"], places, "x", color=OKABE_ITO[1], markersize=8, label="planted")
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(places, [f"{plain(row['name'])} ({row['posts']:,})" for _, row in words.iterrows()])
    axes.set(xlabel="effect in log points, all else the same", ylim=(len(words) - 0.4, -0.6))
    figure.legend(loc="outside upper left", ncols=3, fontsize=9, frameon=False)
    tidy(axes, "x")
    return figure


def draw_hours(cells: pd.DataFrame) -> Figure:
    figure = canvas(WIDTH, 3.9)
    axes = figure.add_subplot()
    shades, half = (
        frame.to_numpy() for frame in (
            cells.pivot(index="weekday", columns="start", values="mean"),
            cells.assign(half=(cells["high"] - cells["low"]) / 2).pivot(index="weekday", columns="start", values="half"),
        )
    )  # fmt: skip
    limit = float(np.nanmax(np.abs(shades)))
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(shades), cmap="RdBu", norm=TwoSlopeNorm(0, -limit, limit), edgecolors="white", linewidth=1
    )
    for (day, place), value in np.ndenumerate(shades):
        if np.isfinite(value):
            sure = abs(value) > half[day, place]
            text = f"{value:+.2f}\n± {half[day, place]:.2f}"
            colour = "white" if abs(value) > 0.65 * limit else "black"
            axes.text(
                place + 0.5,
                day + 0.5,
                text,
                ha="center",
                va="center",
                fontsize=8,
                color=colour,
                weight="bold" if sure else "normal",
            )
    starts = sorted(cells["start"].unique())
    axes.set_xticks(np.arange(len(starts)) + 0.5, [f"{start:02}–{start + WINDOW:02}" for start in starts])
    axes.set_yticks(np.arange(7) + 0.5, DAYS)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(mesh, ax=axes, label="log points, all else the same", fraction=0.03, pad=0.02)
    return figure


def draw_leak(table: pd.DataFrame) -> Figure:
    figure = canvas(7.4, 2.6)
    axes = figure.add_subplot()
    name = "rank correlation"
    for place, (_, row) in enumerate(table.iterrows()):
        errors = [[row[name] - row[f"{name}_low"]], [row[f"{name}_high"] - row[name]]]
        axes.errorbar(
            row[name], place, xerr=errors, fmt="o", capsize=3, color=OKABE_ITO[0] if place == 0 else OKABE_ITO[1]
        )
    axes.set_yticks(range(len(table)), table["test posts"])
    axes.set(xlabel="rank correlation of ridge", ylim=(len(table) - 0.5, -0.5))
    axes.set_xlim(left=0)
    tidy(axes, "x")
    return figure


def shown(table: pd.DataFrame, names: dict[str, str], digits: int = 3) -> pd.DataFrame:
    """With a value and its two ends in one column."""
    texts = {new: [span(row, name, digits) for _, row in table.iterrows()] for name, new in names.items()}
    left = [column for column in table if not any(column in (f"{name}{end}" for end in ENDS) for name in names)]
    return table[left].assign(**texts)


def parts(found: Tables) -> list[lesson.Part]:
    of = found.of
    effects = of["effects"].rename(columns={"low": "effect_low", "high": "effect_high"})
    kinds = effects[effects["kind"] != "hour"]
    if found.made_up:
        kinds = kinds.assign(found=kinds["found"].map({True: "yes", False: "no"}))
    words = of["effects"][of["effects"]["kind"].isin(["word", "domain"])].sort_values("effect", ascending=False)
    words = pd.concat([words.head(SHOWN_WORDS), words.tail(SHOWN_WORDS)]).drop_duplicates()
    ablation = of["ablation"]
    ridge = shown(ablation[ablation["model"] == "ridge"], {"worth": "worth beside the others", "alone": "alone"})
    others = shown(
        ablation[ablation["model"] != "ridge"].drop(columns=["alone", "alone_low", "alone_high"]),
        {"worth": "worth beside the others"},
    )
    branch_table = pd.concat([ridge, others], ignore_index=True).fillna("–")
    sentiment = effects[effects["kind"] == "sentiment"].iloc[0] if (effects["kind"] == "sentiment").any() else None
    truth = " Crosses are the effects that were planted." if found.made_up else ""
    return [
        lesson.Part(
            "scores", "How well can points be foretold?",
            f"Rank correlations (Spearman) between predictions and points. Models are fitted to the earliest posts and chosen on the next ones; test posts are the last {found.last:,}, "
            f"of which {found.test:,} are by authors that no earlier part has. Ridge regression and gradient boosting see all branches side by side; net is late fusion, a small network "
            "for each branch, whose outputs are added. No training was stopped by validation. The intervals say what to expect with other authors.",
            shown(of["scores"], {"valid": "validation", "test": "test, new authors", "last": "test, all authors"}),
            draw_scores(found), "Rank correlation of each model, and what each branch adds to it, with 95 % intervals",
            "Left: circles are posts of new authors, squares all later posts. Right: each model was fitted again without the branch; its worth is what is lost on new authors' posts.",
        ),
        lesson.Part(
            "branches", "What words, sentiment, domain, picture and time are each worth",
            "Beside the others: the rank correlation with all branches, less that of the same model fitted without this one. Alone: that of ridge with this branch and no other. "
            "Both on later posts of new authors.",
            branch_table, draw_branches(found), "Rank correlation of each branch alone and beside the others, with 95 % intervals",
            "Ridge regression. A branch can be worth much alone and nothing beside the others, where these say the same.",
        ),
        lesson.Part(
            "splits", "What a random split would have claimed",
            "Ridge regression with four splits and as many training posts. Later posts of new authors are what a draft is. With all authors, an author's own domain and habits are known; "
            "at any time, so is the news of that week, which other posts of the same days were about.",
            shown(of["leak"], {"rank correlation": "rank correlation"}), draw_leak(of["leak"]),
            "Rank correlation of ridge under four splits, with 95 % intervals", "The first is the honest one; the last is a random split.",
        ),
        lesson.Part(
            "tenths", "What a score of 10 promises",
            "Scores from 1 to 10 are tenths of the predictions for training posts, each predicted by a model that knows no post of its author. A post is in the top tenth if it has at least as many points as "
            "the best tenth of the training posts.",
            shown(of["calibration"].rename(columns={"train": "training posts"}), {"test": "later posts of new authors"}, 2),
            draw_tenths(of["calibration"]), "Share of posts in the top tenth by score, in training and in later posts",
            "Where the circles follow the squares, the score keeps in later posts what it promised in training. Dotted: chance.",
        ),
        lesson.Part(
            "tones", "Success against sentiment",
            "As the tool plots it: mean log points by the tone of the title, nothing else held equal. "
            + (f"With words, domain, picture and time held equal, a title that is all positive instead of neutral gets {span(sentiment, 'effect')} log points. " if sentiment is not None else "")
            + "A slope here says which words stand in glad and angry titles, not what gladness does.",
            shown(of["tones"], {"log points": "mean log points"}, 2), draw_tones(of["tones"]),
            "Mean log points by the tone of the title, with 95 % intervals", "Training posts. Intervals are over authors.",
        ),
        lesson.Part(
            "words", "Words and domains that lift and sink",
            "One least-squares fit to the training posts, on the most frequent words and domains, the tone, the picture, the hour and the weekday at once. 0.1 log points are 10.5 % more points. "
            "One looks for the largest, so intervals of a kind are wide enough to hold all at once." + truth,
            shown(kinds.reset_index(drop=True), {"effect": "effect"}, 2), draw_words(words.reset_index(drop=True)),
            "Effect of words and domains in log points, with intervals", f"In brackets: training posts. Grey ones may well do nothing.{truth}",
        ),
        lesson.Part(
            "hours", "When to post",
            "What words, domain, sentiment and picture leave unexplained, by hour and weekday, over all posts (those of training out of fold). The table has the tool's advice, and the hours that were best in training, measured on later posts, which did not choose them.",
            of["windows"].assign(gain=[points(row, "gain") for _, row in of["windows"].iterrows()]).drop(columns=["gain_low", "gain_high"]),
            draw_hours(of["cells"]), "Mean of unexplained log points by weekday and hour, with half widths of intervals",
            "Each cell: mean and half width of its interval; the intervals hold all at once. Bold: further from 0 than that. A cell that is dark and not bold is noise.",
        ),
    ]  # fmt: skip


def main() -> None:
    params, found = lesson.params(Params), Tables()
    with lesson.run(LESSON, LESSON) as run:
        run.log_params({"seed": params.seed, "data": params.data.path, "answers": found.answers})
        lesson.publish(
            run, "Will this post do well?", findings(found), parts(found), read_json(EVALUATION / "metrics.json"),
            Path(f"{LESSON}.png"), environment("lessons.posts").get_template("posts.html.j2"),
        )  # fmt: skip


if __name__ == "__main__":
    with reported():
        main()
