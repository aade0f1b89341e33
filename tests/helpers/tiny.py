"""All of params.yaml for data that takes no time, and that data."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from leaves import changed, content
from networks import FRAMES, make_ast, make_clap, make_musicnn, make_resnet, make_sound
from rows import Params
from stores import write_store

from pipeline import config
from pipeline.base import paths
from pipeline.config.features import Waveform
from pipeline.data import clips
from pipeline.features import waveform

ROOT = Path(__file__).parents[2]
NETWORKS = ("mobilenet_v2", "musicnn_msd", "musicnn_mtt", "ast", "other", "sound", "clap")
BRIEF = {"epochs": 2, "batch_size": 8, "patience": None, "monitor": None}
"""The last epoch is kept, in which every param of training has had its effect."""
FUSION = {
    "name": "fusion",
    "branches": {
        "table": {"features": ["tabular"], "model": {"name": "lda", "shrinkage": 0.5}},
        "image": {"features": ["spectrogram"], "model": {"name": "cnn", "arch": "compact", "dropout": 0.3}},
    },
}
CNN = {"name": "cnn", "arch": "compact", "dropout": 0.0}
TRANSFER = {"name": "transfer", "backbone": "mobilenet_v2", "frozen": True, "hidden": [8], "dropout": 0.1}
TINY: Params = {
    "data.source": "folder",
    "data.starter": {"clips_per_style": 1, "seconds": 10.0},
    "audit.min_clips": 2,
    "split.folds": 1,
    "split.valid": 0.3,
    "split.test": 0.3,
    "features.tabular.n_fft": 1024,
    "features.spectrogram": {"n_fft": 512, "hop_length": 512, "bands": 32, "top_db": 80.0},
    "features.wavelet.hop_length": 512,
    "features.wavelet.bands": 32,
    "features.wavelet.bands_per_octave": 4,
    "features.wavelet.omega0": 6.0,
    "features.musicnn": {},
    "features.fbank": {},
    "features.waveform": {"sample_rate": 16_000},
    "window": {"frames": 32, "musicnn": 32, "fbank": FRAMES, "waveform": 2000},
    "weights": {name: {"source": "path", "path": f"networks/{name}"} for name in NETWORKS},
    **{f"training.{key}": value for key, value in BRIEF.items()},
    "training.threads": 1,
    "training.accelerator": "cpu",
    "training.precision": "32-true",
    "champion.min_valid_macro_f1": 0.0,
    "experiments.mlp.model.hidden": [8],
    "experiments.mlp.training": {"epochs": 2},
    "experiments.transfer.model": TRANSFER,
    "experiments.cnn.training": {},
    "experiments.multimodal.training": {},
    "experiments.transfer-musicnn.training.ensemble_size": 2,
    "experiments.zero-shot.model.tags": {"jazz": ["loud"], "rock": ["quiet"]},
    "experiments.lda": {"features": ["tabular"], "model": {"name": "lda", "shrinkage": 0.5}},
    "experiments.fusion": {"features": ["tabular", "spectrogram"], "model": FUSION},
    "experiments.musicnn": {"features": ["musicnn"], "model": CNN},
    "experiments.fbank": {"features": ["fbank"], "model": CNN},
    "experiments.sound": {
        "features": ["waveform"],
        "model": {"name": "transfer", "backbone": "sound", "frozen": True, "hidden": [], "dropout": 0.0},
    },
    "experiments.text": {
        "features": ["waveform"],
        "model": {"name": "zero-shot", "backbone": "clap", "prompt": "a {label} song"},
    },
    **{f"tutorial.training.{key}": value for key, value in BRIEF.items()},
    "tutorial.experiments.transfer.model.hidden": [8],
    "sweeps": {},
}
"""By leaf; the blocks that are commented out have their marks taken away, and there are more models."""
FEW: Params = {
    "experiments": {
        "majority": {"features": ["tabular"], "model": {"name": "majority"}},
        "logreg": {"features": ["tabular"], "model": {"name": "logreg", "c": 1.0}},
    },
    "leak": ["logreg"],
    "tutorial.experiments": {},
}
"""Over what stands above, two models that are fitted in no time."""
LABELS = {"jazz": 4, "polka": 5, "rock": 7}
"""Groups of each, with two clips each."""
STORES: dict[str, tuple[int, dict[str, Any]]] = {
    "tabular": (8, {"windowed": False, "columns": [f"c{number}" for number in range(8)]}),
    "spectrogram": (32, {"windowed": True, "silence_db": -80.0}),
    "wavelet": (32, {"windowed": True, "silence_db": -80.0}),
    "musicnn": (96, {"windowed": True, "silence_db": -80.0}),
    "fbank": (128, {"windowed": True, "silence_db": -100.0}),
    "waveform": (1, waveform.describe(Waveform(sample_rate=16_000))),
    "timbre": (8, {"windowed": False, "columns": [f"c{number}" for number in range(8)]}),
}
"""Width of each kind of feature, and what its store says of it."""
RATE = 22050
CLIPS = 4
"""Sounds of each label that nothing is wrong with."""


def default() -> Params:
    """params.yaml with the blocks that are commented out; below ``tutorial`` the tutorial's own params."""
    own = content((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return own | {"tutorial": content((ROOT / "tutorial/params.yaml").read_text(encoding="utf-8"))}


def parsed(params: Params) -> config.Params:
    return config.parse({key: value for key, value in params.items() if key != "tutorial"})


def tiny() -> Params:
    return changed(default(), TINY)


def make_networks(folder: Path) -> None:
    make_resnet(folder / "mobilenet_v2", 1)
    make_resnet(folder / "other", 2)
    make_musicnn(folder / "musicnn_msd", 3)
    make_musicnn(folder / "musicnn_mtt", 4)
    make_ast(folder / "ast")
    make_sound(folder / "sound", "wav2vec2")
    make_clap(folder / "clap")


def make_features() -> None:
    """Clips of unequal labels and lengths with made-up features, in which each label is a little different."""
    rows = [
        {
            "label": label,
            "group": f"{label} {group}",
            "clip_id": f"{label}/{group}-{clip}.wav",
            "sha256": f"of {label}/{group}-{clip}",
        }
        for label, groups in LABELS.items()
        for group in range(groups)
        for clip in range(2)
    ]
    fixed = {"path": "", "source": "folder", "status": "ok", "reason": "", "origin": "", "licence": ""}
    table = pd.DataFrame(rows).assign(**fixed, duration_s=1.0, sample_rate=RATE)
    clips.write(table)
    for seed, (kind, (width, spec)) in enumerate(STORES.items()):
        rng = np.random.default_rng(seed)
        own = {label: rng.normal(0, 3, width) for label in LABELS}
        longer = 40 if kind == "waveform" else 1
        blocks = [
            (own[label] + rng.normal(-40, 9, (longer * rng.integers(70, 100) if spec["windowed"] else 1, width)))
            for label in table["label"]
        ]
        dtype = spec.get("dtype", "float16" if spec["windowed"] else "float32")
        write_store(paths.FEATURES / kind, list(table["clip_id"]), (b.clip(-80, 0) for b in blocks), dtype, spec)
    pd.DataFrame(columns=["clip_id", "reason"]).to_csv(paths.FAILED, index=False)


def make_music(folder: Path) -> None:
    """Sounds of three labels that differ in pitch, and beside them one that is short, long, quiet and clipped each."""
    for number, label in enumerate(LABELS):
        for clip in range(CLIPS):
            _write(folder / label / f"{clip}.wav", _chord(110.0 * 4**number, 1.6, (number, clip)))
    odd = {"short": (1.1, 1.0), "long": (2.4, 1.0), "quiet": (1.6, 1e-4), "clipped": (1.6, 4.0)}
    for number, (name, (seconds, gain)) in enumerate(odd.items()):
        _write(folder / "jazz" / f"{name}.wav", gain * _chord(110.0, seconds, (9, number)))


def _chord(pitch: float, seconds: float, seed: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    rng, time = np.random.default_rng(seed), np.arange(round(seconds * RATE)) / RATE
    tones = [np.sin(2 * np.pi * pitch * step * (1 + 0.02 * rng.normal()) * time) for step in (1, 1.5)]
    swell = 1 + 0.3 * np.sin(2 * np.pi * rng.uniform(2, 9) * time)
    return 0.2 * sum(tones) * swell + 0.01 * rng.normal(size=len(time))


def _write(file: Path, signal: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, signal.clip(-1, 1), RATE, "FLOAT")
