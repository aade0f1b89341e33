"""Every path of the data flow, relative to the checkout (stages run with the checkout as working folder)."""

import hashlib
import os
import tempfile
from pathlib import Path

TOP = Path("pipeline/base/paths.py")
"""This file; it marks the checkout's top folder."""
PARAMS = Path("params.yaml")
GENRES = Path("genres.yaml")
"""Which tags of a pre-trained network stand for which genre."""
LOCK = Path("dvc.lock")
DVC_BUSY = Path(".dvc/tmp/lock")
"""The file that DVC locks while it reads or writes dvc.lock, not while a stage runs."""

MUSIC = Path("data/music")
"""A person's own music, brought in by ``soundtrack import`` and versioned with ``dvc add``."""
SUGGESTED = Path("suggested.csv")
"""Proposed labels of songs, which `soundtrack suggest` writes and a person corrects."""
AUDIO = Path("data/audio")
FILES = Path("files.csv")
"""The list of the clips, in the folder that the source filled."""
CLIPS = Path("data/clips.parquet")
DUPLICATES = Path("data/duplicates.csv")
SPLIT = Path("data/split.parquet")

INPUTS = Path("data/inputs")
FEATURES = Path("features")
FEATURE_COST = FEATURES / "cost.json"
FAILED = FEATURES / "failed.csv"
"""Clips whose features could not be computed, and why."""
WEIGHTS = Path("weights")
EMBEDDINGS = Path("embeddings")
"""What frozen backbones make of the clips: by experiment, by number of its branch, a store for each backbone."""
RUN = Path("run.json")
"""Beside what a training leaves, and beside its partial work: its MLflow run."""
MODELS = Path("models")
HISTORY = Path("history")
EVALUATION = Path("evaluation")
LEAK = EVALUATION / "leak"
SCORES = Path("scores.json")
"""All of an experiment, beside what else its evaluation leaves."""
CONFUSION = Path("confusions")
"""True and predicted label of each test clip, for DVC's plot: a file for each experiment. (DVC would take a folder called
confusion for its template of that name.)"""
METRICS = Path("metrics")
"""The scores that DVC shows, a file for each experiment."""
CANDIDATE = Path("candidate")
"""The best model as a bundle, whether or not it became the champion."""
MANIFEST = Path("manifest.json")
"""Of a bundle, beside its graph."""
REPORTS = Path("reports")
AUDIT = REPORTS / "audit.md"
CHOICE = REPORTS / "choice.json"
COMPARISON = REPORTS / "comparison.html"
CARD = REPORTS / "model-card.md"
CARD_PAGE = CARD.with_suffix(".html")
OOD_FIGURE = REPORTS / "ood.png"
DATA_REPORT = REPORTS / "data.html"
MODEL_REPORTS = REPORTS / "models"


def home() -> Path:
    """The main checkout, which has the runs and partial work.

    DVC_ROOT, which stages see, leads there also from the temporary copy of ``dvc exp run --temp``; within the DVC
    project of a lesson or of the tutorial it is that project's folder. Outside any checkout: the working folder.
    """
    start = Path(os.environ.get("DVC_ROOT", ".")).resolve()
    return next((folder for folder in (start, *start.parents) if (folder / TOP).exists()), start)


def sweeps() -> Path:
    """Optuna's database: all trials of all sweeps."""
    return home() / "sweeps.db"


def cache() -> Path:
    """Partial work that must survive a killed stage, which DVC's outputs do not. Never needed, only faster.

    In the checkout; of a user who may not write there, in a folder of their own.
    """
    own = home() / ".cache"
    return own if writable(own) else user_cache() / hashlib.sha256(str(home()).encode()).hexdigest()[:16]


def user_cache() -> Path:
    """A folder of this user's for caches.

    Where the user's home cannot be written it is a temporary one, named in XDG_CACHE_HOME, which numba and the processes
    that this one starts read.
    """
    place = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111  # knows users without a home
    if not place.is_absolute() or not writable(place):
        place = Path(tempfile.mkdtemp(prefix="soundtrack-"))
        os.environ["XDG_CACHE_HOME"] = str(place)
    return place / "soundtrack"


def writable(folder: Path) -> bool:
    """Whether this user may write into the folder, or make it."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    return os.access(there, os.W_OK | os.X_OK)


def logs() -> Path:
    """What each stage of the last run printed."""
    return cache() / "logs"


def embeddings() -> Path:
    return cache() / "embeddings"
