"""Train one of the tutorial's models by its own protocol: curves, time, and answers for the test clips."""

import time
from pathlib import Path

import pandas as pd

from pipeline import tracking
from pipeline.base import paths
from pipeline.base.files import atomic_write, read_json, remove, write_json
from pipeline.config.experiment import Experiment
from pipeline.config.load import find_block
from pipeline.data import clips
from pipeline.data.split import leaky, protocol
from pipeline.models.exported import Exported
from pipeline.tracking import run_logging
from pipeline.training import splits
from pipeline.training.predict import part_answers
from pipeline.training.recipe import recipe
from pipeline.training.single import save, train_single
from pipeline.training.splits import Splits
from pipeline.training.trials import Trial
from pipeline.workflow import checkpoints
from tutorial.config import Tutorial
from tutorial.paths import PARAMS, RESULTS
from tutorial.split import first_to_train

SPENT = "seconds.json"


def train(settings: Tutorial, key: str) -> None:
    experiment, shared = find_block("experiments", settings.experiments, key, PARAMS.as_posix()), settings.shared
    tracking.connect(shared.tracking.experiment)  # a server that is down is an error before the work
    table = clips.computed()
    rows = first_to_train(clips.good(table))
    data = splits.load(experiment, shared.window, table, rows, fold=0)
    work = checkpoints.folder("tutorial", key, *recipe(shared, experiment, (paths.CLIPS,)))
    tags = {
        **tracking.lineage(clips.source(table)),
        "split.protocol": protocol(rows),
        "leaky": str(leaky(rows)),
        tracking.KIND: "tutorial",
    }
    name = f"tutorial {key}"
    with (
        tracking.run(shared.tracking.experiment, name, checkpoints.run_id(work), tags) as run,
        atomic_write(RESULTS / key) as folder,
    ):
        folder.mkdir()
        write_json(work / paths.RUN, {"run_id": run.id})
        run.log_params(run_logging.training_params(key, experiment, shared.window, Trial(0, shared.seed)))
        history = _trained(experiment, data, shared.seed, work, run)
        answers = _answers(work / "model.onnx", experiment, data, shared.seed)
        history.to_csv(folder / "history.csv", index=False)
        answers.to_parquet(folder / "predictions.parquet", index=False)
        write_json(folder / "training.json", {"train_seconds": round(read_json(work / SPENT), 1)})
    remove(work)


def _trained(experiment: Experiment, data: Splits, seed: int, work: Path, run: tracking.Run) -> pd.DataFrame:
    """The history. The model and the seconds, also those before an interruption, are written into ``work``."""
    before = read_json(work / SPENT) if (work / SPENT).exists() else 0.0
    start = time.monotonic()

    def log_epoch(epoch: int, scores: dict[str, float]) -> None:
        run.log_epoch(epoch, {f"tutorial/{name}": value for name, value in scores.items()})
        write_json(work / SPENT, before + time.monotonic() - start)

    net, history = train_single(experiment, data, seed, work / "checkpoints", paths.embeddings(), log_epoch)
    save(net, data, work / "model.onnx")
    return history.assign(fold=0, seed=seed)


def _answers(model: Path, experiment: Experiment, data: Splits, seed: int) -> pd.DataFrame:
    """For the test clips; ``seen`` says whether the model was trained on clips of the same group."""
    run = Exported(model, experiment.training.threads)
    test = part_answers(run, data, "test", experiment.training, Trial(0, seed))
    return test.assign(seen=test["group"].isin(data.clips["train"]["group"]))
