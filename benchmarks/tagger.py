"""Measure the pre-trained tagger on clips of known genres, and write what its answers are worth to serving/tagger.json.

``python -m benchmarks.tagger FOLDER``, with a sub-folder of clips for each genre. The file in the repository was made from
the 409 of the 499 excerpts of GTZAN (2 to 3 s, ten genres) that are not also clips of GTZAN-mini, on which it is tested.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import logit
from tqdm import tqdm

from pipeline import config
from pipeline.base.files import read_json, write_json
from pipeline.base.parallel import cores
from pipeline.base.text import spelling
from pipeline.config import genres
from pipeline.data.suffixes import NOT_AUDIO
from pipeline.evaluation import calibration
from pipeline.evaluation.temperature import at_temperature, best, logits
from pipeline.serving import tagger
from pipeline.serving.predictor import Predictor, SegmentPrediction

NOTHING = tagger.Measured(
    means={}, temperature=1.0, label=["blues"], predicted=["blues"], probability=[1.0], distance=[0.0]
)
"""To begin with."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tagger",
        description=__doc__,
        epilog="Example: python -m benchmarks.tagger ~/gtzan/genres --write",
    )
    parser.add_argument("folder", type=Path, help="clips, a sub-folder for each genre")
    parser.add_argument("--without", type=Path, help="leave out clips that are also below this folder, by name")
    parser.add_argument("--write", action="store_true", help=f"replace {tagger.CALIBRATION.name}")
    given = parser.parse_args()
    left_out = {file.stem for file in given.without.rglob("*")} if given.without else set()
    files = sorted(file for file in given.folder.glob("*/*") if file.suffix.lower() not in NOT_AUDIO)
    files = [file for file in files if file.stem not in left_out]
    tagger.fetch_networks()
    old = tagger.Measured.model_validate(read_json(tagger.CALIBRATION)) if tagger.CALIBRATION.exists() else NOTHING
    if given.write:
        tags = pd.DataFrame([found.tags for found in _segments(files, NOTHING)], columns=tagger.tags())
        old = old.model_copy(update={"means": logit(tags.clip(1e-6, 1 - 1e-6)).mean().round(4).to_dict()})
    measured = _measured(files, old, given.write)
    rows = measured.table()
    told = rows["label"].isin(genres.load().genres)
    right = rows["label"] == rows["predicted"]
    print(
        f"{told.sum()} of {len(files)} clips are of genres that it can name; right: {right[told].mean():.3f} of these"
    )
    for precision in (0.7, 0.8, 0.9):
        threshold, coverage = calibration.confidence_threshold(rows, precision)
        print(
            f"{precision:.0%} of all clips are right from a confidence of {threshold:.2f} on: {coverage:.0%} of the clips"
        )
    if given.write:
        write_json(tagger.CALIBRATION, measured.model_dump())
        print(f"Written: {tagger.CALIBRATION}")


def _measured(files: list[Path], old: tagger.Measured, fit: bool) -> tagger.Measured:
    labels = list(genres.load().genres)
    spelled = {spelling(label): label for label in labels}
    names = [spelled.get(spelling(file.parent.name), file.parent.name) for file in files]
    found = _segments(files, old.model_copy(update={"temperature": 1.0}))
    probabilities = np.array([one.probabilities for one in found])
    known = np.isin(names, labels)
    targets = np.array([labels.index(name) for name in names if name in labels])
    t = best(logits(probabilities[known]), targets) if fit else old.temperature
    scaled = at_temperature(probabilities, t)
    return tagger.Measured(
        means=old.means,
        temperature=round(t, 4),
        label=names,
        predicted=[labels[place] for place in scaled.argmax(axis=1)],
        probability=scaled.max(axis=1).round(4).tolist(),
        distance=[round(one.distance, 4) for one in found],
    )


def _segments(files: list[Path], measured: tagger.Measured) -> list[SegmentPrediction]:
    """The tagger's answer to the first segment of each clip."""
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch) / "bundle"
        tagger.write(bundle, genres.load(), config.load(), "", measured)
        predictor = Predictor(bundle, threads=cores())
        return [predictor.predict_segment(*next(predictor.decode(file))) for file in tqdm(files, disable=None)]


if __name__ == "__main__":
    main()
