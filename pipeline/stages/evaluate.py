"""Score one trained experiment: on validation as often as one likes, on test this once."""

import numpy as np
import pandas as pd
from tqdm import tqdm

from pipeline import params, paths, tracking
from pipeline.evaluation import figures, metrics
from pipeline.files import read_json, whole, write_json
from pipeline.models.exported import Exported
from pipeline.stages import main, recording
from pipeline.training import parts

CURVES = ("valid_loss", "valid_accuracy", "valid_macro_f1")
FINAL = ("test_loss", "test_accuracy", "test_macro_f1")
"""Few names, for MLflow's tables to stay readable; the rest stands in metrics/<key>.json."""


def evaluate(key: str) -> None:
    settings = params.load()
    experiment = params.experiment(settings, key)
    data = parts.load(experiment, settings.window)
    spec = read_json(paths.MODELS / key / "spec.json")
    history = pd.read_csv(paths.HISTORY / f"{key}.csv")
    predictions = _predictions(key, data, experiment.training.batch_size, experiment.training.threads)
    scores = {**metrics.scores(predictions, "valid"), **metrics.scores(predictions, "test")}
    test = predictions[predictions["part"] == "test"]
    per_class = metrics.per_class(test, data.labels)
    confusion = metrics.confusion(test, data.labels)
    picture = figures.confusion(confusion, f"{key}: test clips")

    with whole(paths.EVALUATION / key) as folder:
        folder.mkdir()
        predictions.to_parquet(folder / "predictions.parquet", index=False)
        test[["label", "predicted"]].to_csv(folder / "labels.csv", index=False)
        per_class.to_csv(folder / "per_class.csv", index=False)
        confusion.to_csv(folder / "confusion.csv")
        figures.save(picture, folder / "confusion.png")
        tags = tracking.lineage(settings.data.source)
        with tracking.run(settings.tracking.experiment, key, spec["run_id"], tags) as run:
            if run.restored:
                recording.restore(run, key, data, settings, experiment)
            # one step behind the last epoch: what a table of runs shows is the model that was kept
            run.log_metrics({name: scores[name] for name in CURVES}, step=len(history))
            run.log_metrics({name: scores[name] for name in FINAL})
            run.log_figure(picture, "confusion.png")
            run.log_table(per_class, "per_class.json")
            run.log_table(confusion.reset_index(), "confusion.json")
        write_json(folder / "training.json", {**spec, "run_id": run.id})
    write_json(paths.METRICS / f"{key}.json", scores)


def _predictions(key: str, data: parts.Parts, batch_size: int, threads: int) -> pd.DataFrame:
    """One row per valid and test clip: its label, the predicted one, and the mean probabilities of its windows."""
    model = Exported(paths.MODELS / key / "model.onnx", threads)
    tables = []
    for part in ("valid", "test"):
        windows = data.windows[part]
        summed = np.zeros((len(windows), len(data.labels)))
        counts = np.zeros((len(windows), 1))
        for batch in tqdm(windows.batches(batch_size), part, unit="batch", dynamic_ncols=True):
            np.add.at(summed, batch.clips.numpy(), model([values.numpy() for values in batch.inputs]))
            np.add.at(counts, batch.clips.numpy(), 1)
        probabilities = summed / counts
        table = data.clips[part][["clip_id", "part", "label"]].copy()
        table["predicted"] = np.array(data.labels)[probabilities.argmax(axis=1)]
        tables.append(
            table.join(pd.DataFrame(probabilities, columns=[f"p:{label}" for label in data.labels]))
        )
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    main(evaluate, "key")
