"""How well models are chosen: ``python -m benchmarks choice``, in a checkout after ``make repro``.

Over several seeds of the split, each data set's models are trained, one is chosen and delivered, by the rule of params.yaml
and by the one before it:

- now: out-of-fold answers of all clips outside test; the cheapest model that is not significantly worse than the best; it
  is trained again on all clips outside test.
- before: one validation part of 15 %, on which networks also kept their best epoch; the highest score; as it is.

Regret is the test macro F1 of the best model less that of the chosen one. Optimism is the promise (the expected macro F1; by the
rule before, that on validation) less the test score. Coverage: how often the promise's 95 % interval holds the true score, where that is known; else how often
promise and test score differ by no more than their intervals allow together.

Data sets: the checkout here; others that are named, with what `soundtrack import` and `make repro` made there; and one that is
made up of Gaussian clips in groups, whose true scores are those on 20,000 more clips.
"""

import argparse
import sys
import tempfile
import timeit
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.machine import processor
from pipeline import config
from pipeline.base import paths
from pipeline.base.errors import UserError
from pipeline.base.files import read_json, write_json, write_text
from pipeline.base.text import UNKNOWN
from pipeline.config.data import Split
from pipeline.config.experiment import Experiment
from pipeline.config.project import Params
from pipeline.data import clips, split
from pipeline.evaluation import bootstrap
from pipeline.evaluation.bootstrap import Interval
from pipeline.evaluation.choice import choose
from pipeline.evaluation.expected import expected
from pipeline.features import cost
from pipeline.models.exported import Exported
from pipeline.training import no_callback, splits
from pipeline.training.dataset import Feature, Windows
from pipeline.training.ensemble import answers, train_trial
from pipeline.training.hardware import resolved
from pipeline.training.predict import rows as predictions
from pipeline.training.single import save
from pipeline.training.splits import Splits
from pipeline.training.trials import Trial

SEEDS = 10
BEFORE = {"monitor": "valid_macro_f1", "patience": 10}
TRUTH_CLIPS = 20_000
OUT, DOCUMENT = Path("docs/results/choice.json"), Path("docs/choice.md")
VARIANTS = {"the ensemble of the folds": "ensemble", "best epoch on an inner part": "stopped"}
"""Other ways to train and to deliver the chosen model, by what they are called; the promise is not theirs."""
BEGIN, END = "<!-- choice: made by benchmarks/choice.py -->\n", "<!-- end of choice -->\n"
Load = Callable[[pd.DataFrame, Experiment, int], Splits]
"""From a split table, an experiment and a fold."""


@dataclass(frozen=True)
class DataSet:
    name: str
    table: pd.DataFrame
    """Good clips: clip_id, label, group."""
    experiments: dict[str, Experiment]
    load: Load
    features_ms: Mapping[str, float]
    """Time for the features of a clip, by experiment."""
    truth: Splits | None = None


class JudgedOnValid(Splits):
    """So that a monitored training takes valid for the part that it is judged on, as before."""

    def resplit(self, count: int, seed: int) -> list[Splits]:  # noqa: ARG002
        return [self]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks choice",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: python -m benchmarks choice ../excerpts --without multimodal",
    )
    parser.add_argument("checkouts", nargs="*", type=Path, help="of other data")
    parser.add_argument(
        "--only", choices=["here", "others", "made-up"], nargs="+", default=["here", "others", "made-up"]
    )
    parser.add_argument("--without", nargs="*", default=[], help="experiments of params.yaml to leave out")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--folds", default="auto", help="split.folds of the rule of now (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON, which keeps what it has of other data sets")
    given = parser.parse_args(sys.argv[2:])
    settings, out = config.load(), given.out.resolve()
    wanted = {key: one for key, one in settings.experiments.items() if key not in given.without}
    folders = [Path()] * ("here" in given.only) + given.checkouts * ("others" in given.only)
    sets: list[tuple[Path, Callable[[], DataSet]]] = [
        (folder.resolve(), partial(checkout, wanted, given.without, folder)) for folder in folders
    ]
    if "made-up" in given.only:
        sets.append((Path().resolve(), partial(made_up, settings)))
    for folder, data_set in sets:
        with chdir(folder):
            data = data_set()
            outcomes = pd.DataFrame(
                row for seed in range(given.seeds) for row in compared(data, settings, seed, given.folds)
            )
        known = read_json(out) if out.exists() else {"sets": {}}
        known["sets"][data.name] = outcomes.to_dict("records")
        write_json(out, {**known, "processor": processor()})
        print(f"{data.name}\n{table(outcomes)}\n", flush=True)
    if out == OUT.resolve():
        write_text(DOCUMENT, updated(DOCUMENT.read_text(encoding="utf-8"), read_json(out)))


def updated(text: str, found: Mapping[str, Any]) -> str:
    """The document with the tables of these results between its marks."""
    before, rest = text.split(BEGIN)
    tables = [f"**{name}**\n\n{table(pd.DataFrame(rows))}" for name, rows in found["sets"].items()]
    return before + BEGIN + "\n" + "\n\n".join(tables) + f"\n\nOn {found['processor']}.\n\n" + END + rest.split(END)[1]


def table(outcomes: pd.DataFrame) -> str:
    """By rule: means over the seeds, and of regret and optimism the standard error."""
    lines = [
        "| rule | test F1 of the chosen | regret | optimism | coverage | chosen |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for rule, own in outcomes.groupby("rule", sort=False):
        means = [f"{own[name].mean():.3f} ± {own[name].sem():.3f}" for name in ("test", "regret", "optimism")]
        counts = ", ".join(f"{key} {count}" for key, count in own["chosen"].value_counts().items())
        covered = UNKNOWN if rule in VARIANTS else f"{own['covered'].mean():.0%}"
        lines.append(f"| {rule} | {' | '.join(means)} | {covered} | {counts} |")
    return "\n".join(lines)


def compared(data: DataSet, settings: Params, seed: int, folds: str = "auto") -> Iterator[dict[str, Any]]:
    """A row for each rule, and for ways to train and to deliver the model that the rule of now chooses."""
    asked = {"protocol": "grouped", "valid": 0.15, "test": 0.25, "test_folds": 1}
    now = split.split(
        data.table, Split.model_validate({**asked, "folds": folds if folds == "auto" else int(folds)}), seed
    )
    before = split.split(data.table, Split.model_validate({**asked, "folds": 1}), seed)
    one_split, crossed = {}, {}
    for key, experiment in data.experiments.items():
        one_split[key] = _one_split(data, before, experiment, seed)
        crossed[key] = _crossed(data, now, experiment, seed)
        print(f"  {data.name} {seed} {key}: {crossed[key]['test']:.3f}", file=sys.stderr, flush=True)
    models = {key: one.model.name for key, one in data.experiments.items()}
    costs = {key: data.features_ms[key] + found["network_ms"] for key, found in crossed.items()}
    choice = choose({key: found["valid"] for key, found in crossed.items()}, costs, models, settings.seed)
    highest = max(one_split, key=lambda key: one_split[key]["promised"].value)
    yield _row("now", seed, choice.chosen, crossed)
    yield _row("before", seed, highest, one_split)
    as_it_is = {key: {**found, "promised": found["out of fold"]} for key, found in crossed.items()}
    yield _row("the out-of-fold score as the promise", seed, choice.chosen, as_it_is)
    yield _row("the best out of fold, whatever it costs", seed, choice.best, crossed)
    for variant, delivered in VARIANTS.items():
        yield _row(variant, seed, choice.chosen, crossed, delivered)


def _row(
    rule: str, seed: int, chosen: str, found: Mapping[str, Mapping[str, Any]], delivered: str = "test"
) -> dict[str, Any]:
    """``delivered``: whose test score counts."""
    own = found[chosen]
    score = own[delivered]
    promised: Interval = own["promised"]
    margins = np.hypot(promised.high - promised.value, 0.0 if own["true"] else own["margin"])
    return {
        "rule": rule,
        "seed": seed,
        "chosen": chosen,
        "promised": promised.value,
        "test": score,
        "regret": max(one["test"] for one in found.values()) - score,
        "optimism": promised.value - score,
        "covered": bool(abs(promised.value - score) <= margins),
    }


def _one_split(data: DataSet, rows: pd.DataFrame, experiment: Experiment, seed: int) -> dict[str, Any]:
    part = data.load(rows, experiment, 0)
    judged = JudgedOnValid(part.kinds, part.labels, part.clips, part.features, part.windows)
    training = experiment.training.model_copy(update=BEFORE)
    net = _trained(experiment.model_copy(update={"training": training}), judged, seed)
    return {**_tested(net, part, data, experiment, seed), "promised": _interval(_answered(net, part, experiment))}


def _crossed(data: DataSet, rows: pd.DataFrame, experiment: Experiment, seed: int) -> dict[str, Any]:
    folds = sorted(rows["fold"].unique())
    refit = data.load(rows, experiment, folds[-1])
    each = {fold: data.load(rows, experiment, fold) for fold in folds[:-1]}
    nets = {fold: _trained(experiment, part, seed) for fold, part in each.items()}
    valid = pd.concat([_answered(nets[fold], part, experiment, fold) for fold, part in each.items()])
    known = {fold: part.judged_on(split.learned_by(rows, fold)) for fold, part in each.items()}
    learned = pd.concat([_answered(nets[fold], part, experiment, fold) for fold, part in known.items()])
    net = _trained(experiment, refit, seed)
    found = _tested(net, refit, data, experiment, seed)
    stopped = experiment.training.model_copy(update=BEFORE)
    stopping = experiment.model_copy(update={"training": stopped})
    means = sum(_probabilities(one, _truth(refit, data), experiment) for one in nets.values()) / len(nets)
    ensemble = predictions(means, _truth(refit, data), "valid", Trial(0, seed))
    return {
        **found,
        "valid": valid,
        "promised": expected(valid, learned, 0),
        "out of fold": _interval(valid),
        "ensemble": _interval(ensemble).value,
        "stopped": _tested(_trained(stopping, refit, seed), refit, data, experiment, seed)["test"],
        "network_ms": _network_ms(net, refit),
    }


def _trained(experiment: Experiment, part: Splits, seed: int) -> Any:
    with tempfile.TemporaryDirectory() as work:
        return train_trial(experiment, part, seed, Path(work), paths.embeddings(), no_callback).net


def _truth(part: Splits, data: DataSet) -> Splits:
    """What models are tested on, as the part valid: all the clips there are of made-up data, else those of test."""
    if data.truth:
        return data.truth
    names = {"valid": "test"}
    return Splits(
        part.kinds,
        part.labels,
        {name: part.clips[own] for name, own in names.items()},
        {name: part.features[own] for name, own in names.items()},
        {name: part.windows[own] for name, own in names.items()},
    )


def _tested(net: Any, part: Splits, data: DataSet, experiment: Experiment, seed: int) -> dict[str, Any]:
    answered = predictions(
        _probabilities(net, _truth(part, data), experiment), _truth(part, data), "valid", Trial(0, seed)
    )
    found = _interval(answered)
    return {"test": found.value, "margin": found.high - found.value, "true": data.truth is not None}


def _answered(net: Any, part: Splits, experiment: Experiment, fold: int = 0) -> pd.DataFrame:
    found = predictions(_probabilities(net, part, experiment), part, "valid", Trial(int(fold), 0))
    return found.assign(test_fold=0)


def _probabilities(net: Any, part: Splits, experiment: Experiment) -> Any:
    return answers(net, part, experiment, paths.embeddings())


def _interval(rows: pd.DataFrame) -> Interval:
    return bootstrap.interval(rows, "macro_f1", 0)


def _network_ms(net: Any, part: Splits) -> float:
    windows = part.windows["train"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        save(net, part, file)
        run, inputs = Exported(file, threads=1), [values[:1] for values in splits.examples(part).values()]
        window_s = min(timeit.repeat(lambda: run(inputs), number=1, repeat=10))
    return 1000 * window_s * len(windows.even(windows.frames)) / len(windows)


def checkout(wanted: Mapping[str, Experiment], without: Sequence[str], folder: Path) -> DataSet:
    """What a finished `make repro` left in the present folder."""
    own = config.load()
    others = {key: one for key, one in own.experiments.items() if folder != Path() and key not in without}
    experiments = {**wanted, **others}
    there = {
        key: resolved(one)
        for key, one in experiments.items()
        if all((paths.FEATURES / k).exists() for k in one.features)
    }
    if not there:
        raise UserError(f"{Path().resolve()} has no features: run `make repro` there")
    good = clips.good(clips.computed())
    seconds = float(good["duration_s"].mean())
    by_kind = {kind: cost.seconds_for(own.features, [kind], seconds) for one in there.values() for kind in one.features}

    def load(rows: pd.DataFrame, experiment: Experiment, fold: int) -> Splits:
        return splits.load(experiment, own.window, good, rows, fold)

    features_ms = {key: 1000 * sum(by_kind[kind] for kind in one.features) for key, one in there.items()}
    name = own.data.source if own.data.source != "folder" else Path.cwd().name
    return DataSet(name, good, there, load, features_ms)


def made_up(settings: Params) -> DataSet:
    """Six labels in 20 dimensions, 12 groups of 5 clips each; clips of a group are alike."""
    rng = np.random.default_rng(settings.seed)
    labels, groups, size, columns = 6, 12, 5, 20
    centres = rng.normal(0, 0.7, (labels, columns))

    def drawn(groups: int, size: int) -> tuple[pd.DataFrame, Any]:
        label = np.repeat(np.arange(labels), groups * size)
        group = np.repeat(np.arange(labels * groups), size)
        offsets = rng.normal(0, 1.0, (labels * groups, columns))
        values = centres[label] + offsets[group] + rng.normal(0, 0.7, (len(label), columns))
        names = [f"{number:06}" for number in range(len(label))]
        about = {
            "clip_id": names,
            "label": [f"label {one}" for one in label],
            "group": [f"group {one}" for one in group],
        }
        return pd.DataFrame(about), values.astype(np.float32)

    few, few_values = drawn(groups, size)
    many, many_values = drawn(TRUTH_CLIPS // labels, 1)
    names = sorted(set(few["label"]))

    def of(table: pd.DataFrame, values: Any, part_of: pd.Series) -> Splits:
        places = {str(part): np.flatnonzero(part_of == part) for part in part_of.unique()}
        features = {part: [Feature(values, own, own + 1, {"windowed": False}, 1)] for part, own in places.items()}
        targets = table["label"].map({label: number for number, label in enumerate(names)}).to_numpy(np.int64)
        windows = {part: Windows(features[part], targets[own]) for part, own in places.items()}
        parts = {
            part: table.iloc[own].assign(part=part, protocol="grouped").reset_index(drop=True)
            for part, own in places.items()
        }
        return Splits(["tabular"], names, parts, features, windows)

    def load(rows: pd.DataFrame, _: Experiment, fold: int) -> Splits:
        joined = few.assign(place=range(len(few))).merge(rows[rows["fold"] == fold], on="clip_id")
        places = joined["place"].to_numpy()
        return of(few.iloc[places].reset_index(drop=True), few_values[places], joined["part"])

    truth = of(many, many_values, pd.Series(["valid"] * len(many)))
    experiments = {key: resolved(settings.experiments[key]) for key in ("majority", "logreg", "mlp")}
    logreg, mlp = experiments["logreg"], experiments["mlp"]
    small = {"model": mlp.model.model_copy(update={"hidden": [32]})}
    strong = {"model": logreg.model.model_copy(update={"c": 0.01})}
    experiments |= {"mlp-small": mlp.model_copy(update=small), "logreg-strong": logreg.model_copy(update=strong)}
    return DataSet("made up", few, experiments, load, dict.fromkeys(experiments, 1.0), truth)
