"""What an import says that features will take is what they take."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import soundfile
from checkouts import edit_params
from running import features

from pipeline.base import paths
from pipeline.base.files import sha256
from pipeline.config.project import Params
from pipeline.data import clips
from pipeline.features.cost import cost

RATE = 22050
CLIPS = 3


@pytest.mark.parametrize(("excerpt", "seconds"), [("whole", 6.0), ("middle 2 s", 2.0), ("2 sections of 1.5 s", 3.0)])
def test_megabytes_are_those_of_the_stores(
    excerpt: str, seconds: float, checkout: Path, noise: Callable[..., Any], settings: Params
) -> None:
    edit_params(checkout, lambda content: content["features"].update(excerpt=excerpt))
    files = [checkout / f"{number}.wav" for number in range(CLIPS)]
    for number, file in enumerate(files):
        soundfile.write(file, noise(number, 6.0), RATE)
    table = pd.DataFrame({"clip_id": [file.name for file in files], "path": [file.name for file in files]})
    about = {"label": "x", "group": "g", "source": "folder", "duration_s": 6.0, "sample_rate": RATE, "status": "ok"}
    digests = [sha256(file) for file in files]
    clips.write(table.assign(**about, sha256=digests, reason="", origin="", licence=""))
    features()
    stored = sum((paths.FEATURES / kind / "array.bin").stat().st_size for kind in ("spectrogram", "wavelet"))
    own = settings.features.model_copy(update={"excerpt": excerpt})
    assert cost(own, CLIPS, 6.0).megabytes == pytest.approx(stored / 1e6, rel=0.02)
    measured = paths.FEATURE_COST.read_text()
    features()
    assert paths.FEATURE_COST.read_text() == measured, "a run without new clips measures nothing, and changes nothing"
    frames = stored / CLIPS / 2 / 2 / own.spectrogram.bands
    assert frames == pytest.approx(seconds * RATE / own.spectrogram.hop_length, abs=2)
