"""Awkward files: each is used or named with its reason, and none disturbs its neighbours."""

import logging
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from running import features
from sounds import FORMATS, encode

from pipeline.base import paths
from pipeline.base.files import remove
from pipeline.config.project import Params
from pipeline.data import audit as auditing
from pipeline.data import clips
from pipeline.data.audit import examine
from pipeline.features.store import Store
from pipeline.sources.folder import fetch, find

RATE = 22050
Sound = Callable[..., np.ndarray[Any, np.dtype[np.float32]]]
DECOMPOSED = "cafe\u0301.wav"


def wav(folder: Path, name: str, samples: Any, rate: int = RATE, **how: Any) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, samples, rate, **{"format": "WAV", **how})
    return file


def cut(file: Path, share: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])


def patched(file: Path, at: int, value: int) -> None:
    """Another 32-bit number in a WAV's header: the rate is at byte 24, the size of its data at 40."""
    content = bytearray(file.read_bytes())
    content[at : at + 4] = struct.pack("<I", value)
    file.write_bytes(content)


def make_used(folder: Path, noise: Sound) -> set[str]:
    """Files that are odd and good."""
    wav(folder, "odd/u8.wav", noise(1, 2.0), subtype="PCM_U8")
    wav(folder, "odd/stereo.wav", np.stack([noise(2, 10.0), noise(3, 10.0)], axis=1), 96_000, subtype="PCM_24")
    wav(folder, "odd/six.wav", np.stack([noise(seed, 2.0) for seed in range(4, 10)], axis=1))
    wav(folder, "odd/telephone.wav", noise(10, 2.0), 8_000)
    wav(folder, "odd/UPPER.WAV", noise(11, 2.0))
    wav(folder, "odd/no extension", noise(12, 2.0))
    wav(folder, "odd/two words.flac", noise(13, 2.0), format="FLAC")
    wav(folder, "odd/🎷.ogg", noise(14, 2.0), format="OGG")
    wav(folder, f"odd/{DECOMPOSED}", noise(15, 2.0))
    wav(folder, "odd/line\nbreak\r.wav", noise(16, 2.0))
    wav(folder, "odd/-rf.wav", noise(17, 2.0))
    wav(folder, f"odd/{'x' * 200}.wav", noise(18, 2.0))
    wav(folder, "odd/deep/er/and deeper/a.mp3", noise(19, 2.0), format="MP3")
    wav(folder, "odd/NA.wav", noise(20, 2.0))
    cut(wav(folder, "odd/cut.wav", noise(21, 4.0)), 0.6)
    cut(wav(folder, "odd/cut.ogg", noise(22, 8.0), format="OGG"), 0.6)
    cut(wav(folder, "odd/cut.flac", noise(31, 4.0), format="FLAC"), 0.6)
    cut(wav(folder, "odd/cut.mp3", noise(23, 8.0), format="MP3"), 0.6)
    patched(wav(folder, "odd/four gigabytes.wav", noise(24, 2.0)), 40, 0xFFFFFFF0)
    (folder / "odd/linked.wav").symlink_to(wav(folder.parent, "elsewhere.wav", noise(25, 2.0)))
    return {file.as_posix() for file in find(folder)}


def make_bad(folder: Path, noise: Sound) -> dict[str, str]:
    """Files that are no clips, and how the reason begins."""
    for name, content in {
        "bad/empty.wav": b"",
        "bad/text.wav": b"no music\n" * 500,
        "bad/cover.jpg": b"\xff\xd8\xff\xe0" + bytes(5000),
        "bad/list.m3u": b"#EXTM3U\na.wav\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    cut(wav(folder, "bad/header alone.wav", noise(32, 2.0)), 0.0004)
    patched(wav(folder, "bad/rate 0.wav", noise(33, 2.0)), 24, 0)
    wav(folder, "bad/nan.wav", np.r_[noise(34, 2.0), np.nan], subtype="FLOAT")
    wav(folder, "bad/inf.wav", np.r_[noise(35, 2.0), np.inf], subtype="FLOAT")
    wav(folder, "bad/silence.wav", np.zeros(2 * RATE))
    wav(folder, "bad/offset.wav", np.full(2 * RATE, 0.3))
    wav(folder, "bad/50 ms.wav", noise(36, 0.05))
    (folder / "bad/dangling.wav").symlink_to("gone.wav")
    (folder / "bad/loop.wav").symlink_to("loop.wav")
    wav(folder, "bad/one of two.wav", noise(37, 2.0))
    wav(folder, "good/the other.wav", noise(37, 2.0))
    return {
        "bad/empty.wav": "empty file",
        "bad/text.wav": "cannot be decoded",
        "bad/cover.jpg": "cannot be decoded",
        "bad/list.m3u": "cannot be decoded",
        "bad/header alone.wav": "cannot be decoded",
        "bad/rate 0.wav": "cannot be decoded",
        "bad/nan.wav": "contains NaN or infinite samples",
        "bad/inf.wav": "contains NaN or infinite samples",
        "bad/silence.wav": "silent",
        "bad/offset.wav": "silent",
        "bad/50 ms.wav": "too short",
        "bad/dangling.wav": "cannot be read: No such file or directory",
        "bad/loop.wav": "cannot be read: Too many levels of symbolic links",
        "bad/one of two.wav": "identical to",
        "good/the other.wav": "identical to",
    }


def audited(checkout: Path, settings: Params) -> pd.DataFrame:
    """The clips table of data/music, as the stages download and audit write it."""
    listed = pd.DataFrame([vars(clip) for clip in fetch(checkout, checkout, settings.data, 7)])
    names = [path.removeprefix(f"{paths.MUSIC.as_posix()}/") for path in listed["path"]]
    table, _ = auditing.audit(listed.assign(clip_id=names, source="folder"), settings.audit)
    clips.write(table)
    return table.set_index("clip_id")


def test_every_file_is_used_or_named_and_good_ones_are_unchanged(
    checkout: Path, noise: Sound, settings: Params
) -> None:
    music = checkout / paths.MUSIC
    used = make_used(music, noise)
    alone = audited(checkout, settings)
    assert dict(zip(alone.index, alone["reason"], strict=True)) == dict.fromkeys(used, "")
    features()
    before = Store(paths.FEATURES / "tabular").index(sorted(used))["digest"]

    reasons = make_bad(music, noise)
    table = audited(checkout, settings)
    assert set(table.index) == used | set(reasons)
    assert set(table.index[table["status"] == "ok"]) == used
    for name, reason in reasons.items():
        assert table.loc[name, "reason"].startswith(reason), name
        assert table.loc[name, "status"] == "rejected"
    text = auditing.summary(table.reset_index(), pd.DataFrame(columns=["first", "second", "kind", "labels_differ"]))
    assert all(" ".join(name.split()) in text for name in reasons)
    remove(paths.cache())
    features()
    assert Store(paths.FEATURES / "tabular").index(sorted(used))["digest"].equals(before)


def test_links_are_followed_and_loops_are_not(tmp_path: Path, noise: Sound) -> None:
    wav(tmp_path, "elsewhere/a.wav", noise(1))
    wav(tmp_path, "music/jazz/b.wav", noise(2))
    (tmp_path / "music/rock").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "music/jazz/up").symlink_to(tmp_path / "music")
    assert find(tmp_path / "music") == [Path("jazz/b.wav"), Path("rock/a.wav")]


def test_what_cannot_be_used_where_it_lies_is_named(
    tmp_path: Path, noise: Sound, caplog: pytest.LogCaptureFixture
) -> None:
    wav(tmp_path, "jazz/a.wav", noise(1))
    (tmp_path / "jazz" / os.fsdecode(b"\xff\xfe.wav")).touch()
    (tmp_path / "polka").mkdir()
    (tmp_path / "stray.wav").touch()
    (tmp_path / ".hidden").touch()
    with caplog.at_level(logging.WARNING):
        assert find(tmp_path) == [Path("jazz/a.wav")]
    assert caplog.messages == [
        "not used (in no label's folder): stray.wav",
        r"not used (the name is not valid UTF-8: rename it): jazz/\udcff\udcfe.wav",
        "not used (an empty folder): polka",
    ]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory, noise: Sound) -> list[bytes]:
    folder = tmp_path_factory.mktemp("originals")
    kinds = ("WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "W64")
    read = [wav(folder, kind, noise(1, 0.3), format=kind) for kind in kinds]
    others = [encode(folder / f"song{suffix}", noise(1, 0.3), RATE) for suffix in FORMATS]
    return [file.read_bytes() for file in (*read, *others)]


@hypothesis_settings(deadline=None, max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_to_a_file_raises(
    data: st.DataObject, originals: list[bytes], tmp_path: Path, settings: Params
) -> None:
    """Bytes of a real file changed, most of them in its header, and its end cut off."""
    content = bytearray(data.draw(st.sampled_from(originals)))
    places = st.integers(0, 64) | st.integers(0, len(content) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        content[place] = value
    file = tmp_path / "damaged"
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    found = examine(file, settings.audit.model_copy(update={"min_seconds": 0.01}))
    assert found.reason or (0.01 <= found.duration_s <= 1200 and len(found.fingerprint) >= 0)
    assert len(found.sha256) == 64
