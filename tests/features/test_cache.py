"""What an earlier run computed is not computed again, and the store is the same as if it had been."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from processes import PATIENCE_S, ROOT, reader_killed
from running import features

from pipeline import config
from pipeline.base import paths
from pipeline.base.files import sha256
from pipeline.data import clips
from pipeline.features import compute, extract
from pipeline.features.compute import FeaturesError
from pipeline.features.store import Store

pytestmark = pytest.mark.usefixtures("music")
RATE = 22050
KINDS = ["tabular", "spectrogram", "wavelet", "timbre"]


@pytest.fixture
def music(checkout: Path) -> None:
    """Twelve clips of a second, and a clips table of the first ten."""
    names = [f"{label}/{number}.wav" for label in ("low", "high") for number in range(6)]
    for seed, name in enumerate(names):
        file = checkout / "audio" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, np.random.default_rng(seed).normal(0, 0.1, RATE + 100 * seed), RATE)
    listed(names[:10])


def listed(names: list[str], **changes: object) -> None:
    """Write the clips table that the audit would."""
    files = [Path("audio") / name for name in names]
    table = pd.DataFrame({"clip_id": names, "path": [file.as_posix() for file in files]})
    table["sha256"] = [sha256(file) for file in files]
    about = {"label": "x", "group": "g", "source": "folder", "duration_s": 1.0, "sample_rate": RATE, "status": "ok"}
    clips.write(table.assign(**{**about, "reason": "", "origin": "", "licence": "", **changes}))


def contents() -> dict[str, bytes]:
    return {file.as_posix(): file.read_bytes() for kind in KINDS for file in sorted((paths.FEATURES / kind).iterdir())}


def from_scratch() -> dict[str, bytes]:
    for folder in (paths.FEATURES, paths.cache()):
        shutil.rmtree(folder, ignore_errors=True)
    features()
    return contents()


def names() -> list[str]:
    return list(clips.read()["clip_id"])


def test_a_clip_that_fails_is_left_out_and_named(checkout: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It was good in the audit, and is another file now."""
    (checkout / "audio" / names()[3]).write_text("no music")
    listed(names())
    features()
    lost = names()[3]
    assert f"{lost} is left out: its features cannot be computed: DecodeError" in caplog.text
    table = clips.computed().set_index("clip_id")
    assert list(table.index[table["status"] == "rejected"]) == [lost]
    assert table.loc[lost, "reason"].startswith("its features cannot be computed")
    assert clips.read()["status"].eq("ok").all(), "the audit's own table stays as it is"
    for kind in KINDS:
        Store(paths.FEATURES / kind).index(sorted(set(names()) - {lost}))

    for name in names():
        (checkout / "audio" / name).write_text(f"no music in {name}")
    listed(names())
    with pytest.raises(FeaturesError, match="of no clip can features be computed"):
        features()


def computed(caplog: pytest.LogCaptureFixture) -> int:
    """Clips of which the last run computed something."""
    return int(caplog.messages[-1].split()[0])


def test_added_clips_alone_are_computed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    features()
    assert computed(caplog) == 10
    listed([*names()[:3], "high/4.wav", "high/5.wav", *names()[3:]])
    shutil.rmtree(paths.FEATURES)  # as DVC does before it runs the stage
    features()
    assert computed(caplog) == 2
    grown = contents()
    assert grown == from_scratch()
    assert computed(caplog) == 12


def test_removed_renamed_and_relabelled_clips_compute_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    features()
    Path("audio/low/0.wav").rename("audio/high/moved.wav")
    listed(["high/moved.wav", *names()[2:]], label="y")
    features()
    assert computed(caplog) == 0
    assert contents() == from_scratch()


def test_other_params_of_one_kind_compute_that_kind() -> None:
    features()
    own = config.load().features
    other = own.model_copy(update={"spectrogram": own.spectrogram.model_copy(update={"bands": 64})})
    keys = [{kind: compute.key(kind, s) for kind in KINDS} for s in (own, other)]
    assert [kind for kind in KINDS if keys[0][kind] != keys[1][kind]] == ["spectrogram"]
    assert len({key for both in keys for key in both.values()}) == len(KINDS) + 1


def test_a_kind_that_is_off_costs_nothing_and_changes_no_other(
    checkout: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    features()
    assert [file.name for file in (paths.FEATURES / "musicnn").iterdir()] == ["off.txt"]
    assert sorted({place.name.split("-")[0] for place in (paths.cache() / "features").iterdir()}) == sorted(KINDS)
    before = contents()
    file = checkout / "params.yaml"
    off, on = "  musicnn: null ", "  musicnn: {} "
    file.write_text(file.read_text().replace(off, on))
    features()
    assert contents() == before
    assert Store(paths.FEATURES / "musicnn").spec["shape"][1] == 96
    file.write_text(file.read_text().replace(on, off))
    features()
    assert computed(caplog) == 0
    assert [file.name for file in (paths.FEATURES / "musicnn").iterdir()] == ["off.txt"]


KILLED = """
import os, signal
from pipeline.features import store
from running import features
add, done = store.Writer.add, []
def killing(self, *given):
    if len(done) == 4 * 4 + 1:
        self.array.write(b"half a block")
        self.array.flush()
        self.index.write(f"{given[0]},0,1,{given[1]},{given[2].digest[:9]}")
        self.index.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(add(self, *given))
store.Writer.add = killing
features()
"""


def test_a_killed_run_goes_on_where_it_was(caplog: pytest.LogCaptureFixture) -> None:
    """Killed while the fifth clip's second kind is written, and once more right at the start."""
    caplog.set_level("INFO")
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests/helpers")])}
    # reading to the end of what they print waits for the workers too: they must not outlive the run
    done = subprocess.run(
        [sys.executable, "-c", KILLED], env=environment, capture_output=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert not paths.FEATURES.exists()
    own = config.load().features
    for kind in KINDS:
        unfinished = compute.key(kind, own)
        (paths.cache() / "features" / f"{kind}-{unfinished}" / "0001").mkdir()
    features()
    assert computed(caplog) == 6  # the fifth lacks three kinds
    assert contents() == from_scratch()


def test_what_is_kept_takes_no_space_of_its_own() -> None:
    features()
    for kind in KINDS:
        (kept,) = (paths.cache() / "features").glob(f"{kind}-*/*/array.bin")
        assert kept.samefile(paths.FEATURES / kind / "array.bin")


def test_a_clip_has_the_features_of_its_own_signal() -> None:
    features()
    settings = config.load().features
    own = extract.blocks(extract.Task(Path("audio/low/3.wav"), KINDS), settings)
    for kind in KINDS:
        store = Store(paths.FEATURES / kind)
        (start,), (stop,) = store.rows(["low/3.wav"])
        assert store.array[start:stop].tobytes() == own[kind].content


def test_a_killed_worker_ends_the_stage_in_a_sentence_and_what_was_done_stays_done(checkout: Path) -> None:
    clip = checkout / "audio/high/3.wav"
    content = clip.read_bytes()
    command = [sys.executable, "-m", "pipeline.stages", "features"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with reader_killed(clip):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 1
    assert "error: a worker process was killed, probably because memory ran out. Start again" in done.stderr
    assert "SOUNDTRACK_WORKERS=1" in done.stderr
    assert "Traceback" not in done.stderr
    clip.write_bytes(content)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert "10 of 10 clips" not in done.stderr
