"""Every file is used, or rejected with a reason; none is lost on the way."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from processes import PATIENCE_S, ROOT, reader_killed

from pipeline.config.data import Audit
from pipeline.data.audit import AuditError, Finding, audit, check, examine, summary

RATE = 22050
Sound = Callable[..., np.ndarray[Any, np.dtype[np.float32]]]

LIMITS = Audit(min_seconds=0.5, max_seconds=3.0, silence_dbfs=-60.0, max_clipped=0.1, min_clips=2)


def square(samples: int, level: float) -> np.ndarray[Any, Any]:
    """A wave of this level at a quarter of the sample rate."""
    return level * np.resize([1.0, 1.0, -1.0, -1.0], samples)


def checked(file: Path) -> Finding:
    return examine(file, LIMITS)


def test_a_good_clip_has_no_reason(tmp_path: Path, noise: Sound) -> None:
    file = tmp_path / "a.flac"
    soundfile.write(file, np.stack([noise(1), noise(2)], axis=1), RATE)
    finding = checked(file)
    assert finding.reason == ""
    assert (finding.duration_s, finding.sample_rate, len(finding.sha256)) == (1.0, RATE, 64)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.wav", b"", "empty file"),
        ("a.wav", b"this is a text\n" * 100, "cannot be decoded: Format not recognised."),
        ("a.flac", b"fLaC", "cannot be decoded: "),
        ("cover.jpg", b"\xff\xd8\xff\xe0 no audio at all", "cannot be decoded: "),
        ("a.raw", b"\x00\x01" * 50_000, "cannot be decoded: a .raw file does not say its format"),
    ],
)
def test_what_is_no_audio_is_rejected(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert checked(tmp_path / name).reason.startswith(reason)


def test_a_file_that_is_gone_is_rejected(tmp_path: Path) -> None:
    assert checked(tmp_path / "gone.wav").reason == "cannot be read: No such file or directory"
    assert checked(tmp_path).reason == "cannot be read: Is a directory"


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.r_[np.full(RATE, 0.1), np.nan], "contains NaN or infinite samples"),
        (np.r_[np.full(RATE, 0.1), np.inf], "contains NaN or infinite samples"),
        (np.zeros(RATE), "silent: -200 dBFS, below -60 dBFS"),
        (np.full(RATE, 0.5), "silent: -200 dBFS, below -60 dBFS"),  # an offset alone
        (square(RATE, 0.0009), "silent: -61 dBFS, below -60 dBFS"),
        (square(RATE, 0.0009) + 0.5, "silent: -61 dBFS, below -60 dBFS"),
        (square(RATE, 0.0011), ""),
        (np.r_[np.full(450, 1.0), np.full(450, -1.0), np.full(9_100, 0.1)].repeat(2), ""),
        (np.r_[np.full(600, 1.0), np.full(600, -1.0), np.full(8_800, 0.1)].repeat(2), "clipped: 12% of the samples"),
        (square(RATE // 2 - 1, 0.1), "too short: 0.50 s, at least 0.5 s needed"),
        (square(RATE // 2, 0.1), ""),
        (np.zeros(0), "cannot be decoded: there is no audio in it"),
        (square(3 * RATE, 0.1), ""),
        (square(3 * RATE + 1, 0.1), "too long: more than 3 s"),
    ],
)
def test_what_is_wrong_with_the_sound_is_named(tmp_path: Path, samples: np.ndarray[Any, Any], reason: str) -> None:
    file = tmp_path / "a.wav"
    soundfile.write(file, samples.astype(np.float32), RATE, subtype="FLOAT")
    found = checked(file).reason
    assert found.startswith(reason) if reason else found == ""


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory, noise: Sound) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The audit of two labels with two good clips each, copies, and names that are markup."""
    folder = tmp_path_factory.mktemp("clips")
    sounds = {
        "bach/a.wav": 1,
        "bach/b.wav": 2,
        "bach/b again.wav": 2,
        "bach/torn.wav": 3,
        "bach/z|`<i>&\n\\|.wav": None,
        "folk/a.wav": 4,
        "folk/b.wav": 5,
        "folk/b as ogg.ogg": 5,
        "folk/torn too.wav": 3,
        "folk/empty.wav": None,
        "<b>|`\n/lost.wav": None,
    }
    for name, seed in sounds.items():
        (folder / name).parent.mkdir(exist_ok=True)
        if seed is None:
            (folder / name).touch()
        else:
            soundfile.write(folder / name, noise(seed, 2.5), RATE)
    paths = [str(folder / name) for name in sounds]
    files = pd.DataFrame({"path": paths, "clip_id": list(sounds), "group": list(sounds), "extra": "kept"})
    return audit(files.assign(label=[name.split("/")[0] for name in sounds]), LIMITS)


@pytest.fixture(scope="module")
def table(audited: tuple[pd.DataFrame, pd.DataFrame]) -> pd.DataFrame:
    return audited[0]


@pytest.fixture(scope="module")
def pairs(audited: tuple[pd.DataFrame, pd.DataFrame]) -> pd.DataFrame:
    return audited[1]


def reason(table: pd.DataFrame, ending: str) -> str:
    (found,) = table.loc[table["path"].str.endswith(ending), "reason"]
    return str(found)


def test_every_file_is_in_the_table_once(table: pd.DataFrame) -> None:
    assert len(table) == 11
    assert table["path"].is_unique
    assert set(table["extra"]) == {"kept"}
    assert ((table["status"] == "ok") == (table["reason"] == "")).all()
    assert set(table["status"]) == {"ok", "rejected"}


def test_of_copies_under_one_label_the_first_stays(table: pd.DataFrame) -> None:
    assert reason(table, "bach/b.wav") == ""
    assert re.fullmatch(r"identical to .*bach/b\.wav", reason(table, "b again.wav"))


def test_of_copies_under_two_labels_none_stays(table: pd.DataFrame) -> None:
    unknown = "which label is right is not known"
    assert re.fullmatch(rf"identical to .*torn too\.wav \(folk\): {unknown}", reason(table, "torn.wav"))
    assert re.fullmatch(rf"identical to .*torn\.wav \(bach\): {unknown}", reason(table, "torn too.wav"))


def test_clips_of_the_same_audio_are_in_one_group(table: pd.DataFrame, pairs: pd.DataFrame) -> None:
    group = table.set_index("clip_id")["group"]
    assert group["bach/b.wav"] == group["bach/b again.wav"]
    assert group["bach/torn.wav"] == group["folk/torn too.wav"]
    assert group["folk/b.wav"] == group["folk/b as ogg.ogg"]
    assert group.nunique() == len(group) - 3
    found = pairs.set_index(["first", "second"])
    assert found.loc[("bach/b.wav", "bach/b again.wav"), "kind"] == "identical"
    assert bool(found.loc[("bach/torn.wav", "folk/torn too.wav"), "labels_differ"])
    assert found.loc[("folk/b as ogg.ogg", "folk/b.wav"), "kind"] == "near-identical"
    assert reason(table, "b as ogg.ogg") == "", "what only sounds the same is not rejected"
    assert len(pairs) == 3


def test_published_faults_of_gtzan_are_told(tmp_path: Path, noise: Sound) -> None:
    names = ["jazz.00054.wav", "jazz.00001.wav"]
    for seed, name in enumerate(names):
        soundfile.write(tmp_path / name, noise(seed), RATE)
    files = pd.DataFrame({"path": [str(tmp_path / name) for name in names], "clip_id": names})
    text = summary(*audit(files.assign(group=names, label="jazz"), LIMITS))
    assert re.search(r"jazz\.00054\.wav \| .*not readable in the copy on Kaggle", text)
    assert "jazz.00001" not in text


def test_copies_of_a_bad_file_keep_its_own_reason(table: pd.DataFrame) -> None:
    assert [reason(table, name) for name in ("empty.wav", "lost.wav")] == ["empty file", "empty file"]


def test_names_do_not_become_markup_in_the_summary(table: pd.DataFrame, pairs: pd.DataFrame) -> None:
    text = summary(table, pairs)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    bars = [len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows]
    assert bars == [4] * 5 + [3] * 8 + [5] * 5, (
        "two header lines and three labels, two and six rejected files, two and three pairs"
    )
    assert not re.search(r"(?<!\\)(?:\\\\)*[`<]", text)
    assert r"z\|\`&lt;i>&amp; \\\|.wav" in text
    assert r"| &lt;b>\|\` | 0 | 1 |" in text
    assert "| bach | 2 | 3 |" in text


def test_a_good_data_set_passes(table: pd.DataFrame) -> None:
    check(table[table["label"].isin(["bach", "folk"])], LIMITS)


def test_labels_with_too_few_clips_are_named(table: pd.DataFrame) -> None:
    with pytest.raises(AuditError, match=r"too few good clips: '<b>\|`") as caught:
        check(table, LIMITS)
    assert "has 0; audit.min_clips is 2 (6 of 11 files were rejected: see reports/audit.md)" in str(caught.value)
    with pytest.raises(AuditError, match=r"'bach' has 2; audit\.min_clips is 3"):
        check(table[table["label"].isin(["bach", "folk"])], LIMITS.model_copy(update={"min_clips": 3}))


def test_one_label_is_no_classification(table: pd.DataFrame) -> None:
    with pytest.raises(AuditError, match=r"at least two labels, there is \['folk'\]"):
        check(table[table["label"] == "folk"], LIMITS)


def test_what_was_found_of_a_good_file_is_kept_by_its_content(
    tmp_path: Path, noise: Sound, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With it, and without, the tables are the same after every kind of change."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")
    kept = tmp_path / "kept.npz"

    def audited(*clips: str) -> int:
        """Number of files that were decoded, of these."""
        files = pd.DataFrame({"clip_id": clips, "path": clips, "label": "x", "group": clips})
        caplog.clear()
        found = audit(files, LIMITS, kept=kept)
        told = re.match(rf"(\d+) of {len(clips)} files have to be decoded", caplog.messages[0])
        for ours, anew in zip(found, audit(files, LIMITS), strict=True):
            pd.testing.assert_frame_equal(ours, anew)
        assert told
        return int(told[1])

    for seed, name in enumerate("abc"):
        soundfile.write(f"{name}.wav", noise(seed), RATE)
    soundfile.write("silent.wav", np.zeros(RATE), RATE)
    Path("text.wav").write_text("no audio")
    bad = ("silent.wav", "text.wav", "gone.wav")
    assert audited("text.wav") == 1, "nothing is good"
    assert audited("a.wav", "b.wav", *bad) == 5
    assert audited("a.wav", "b.wav", *bad) == 3, "a bad file is tried again"
    Path("a.wav").rename("other label.wav")
    assert audited("other label.wav", "b.wav", "c.wav") == 1
    soundfile.write("b.wav", noise(9), RATE)
    soundfile.write("copy.wav", noise(9)[: RATE // 2 + 5000], RATE)
    assert audited("b.wav", "copy.wav", "c.wav") == 2
    Path("c.wav").rename("c.raw")
    assert audited("b.wav", "copy.wav", "c.raw") == 1, "how it is decoded depends on its suffix"


def test_a_killed_worker_ends_the_stage_in_a_sentence(checkout: Path, noise: Sound) -> None:
    names = [f"data/audio/{label}/{number}.wav" for label in "ab" for number in range(2)]
    for seed, name in enumerate(names):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(checkout / name, noise(seed), RATE)
    pd.DataFrame({"path": names, "label": "x", "group": names}).to_csv(checkout / "data/audio/files.csv", index=False)
    with reader_killed(checkout / names[1]):
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.stages", "audit"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
    assert done.returncode == 1
    assert "error: a worker process was killed, probably because memory ran out. Start again" in done.stderr
    assert "Traceback" not in done.stderr
