"""The starter data, from the scores in music21 and from small tunes written here."""

import hashlib
import json
import logging
import os
import random
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from processes import wait_until

from pipeline.base import paths
from pipeline.config.data import Data, Starter
from pipeline.sources import Clip, SourceError, load, starter
from pipeline.sources.starter import scores
from pipeline.sources.starter.scores import Note, Piece

SECONDS = 10.0
LABEL = "irish-tune"


def settings(clips: int) -> Data:
    return Data(source="starter", starter=Starter(clips_per_style=clips, seconds=SECONDS), mirror=None, url=None)


def tune(title: str, bars: int = 16, seed: int = 0) -> Piece:
    notes = random.Random(seed)
    music = " | ".join("".join(notes.choice("CDEFGABcdefgab") for _ in range(4)) for _ in range(bars))
    text = f"X:1\nT:{title}\nM:4/4\nL:1/4\nK:C\n{music} |]\n"
    return Piece(LABEL, title, title, "book.abc", text)


def synthesise(pieces: list[Piece], folder: Path, clips: int, seed: int = 7, workers: int = 1) -> list[Clip]:
    by_label = {label: [p for p in pieces if p.label == label] for label in {p.label: None for p in pieces}}
    corpus, staging, cache = scores.corpus(), folder / "staging", folder / "cache"
    return starter.synthesise(by_label, corpus, staging, cache, settings(clips), seed, workers)


def content(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Clip]]:
    """Two clips of each style, as the pipeline makes them."""
    folder = tmp_path_factory.mktemp("starter")
    return folder / "staging", load("starter")(folder / "staging", folder / "cache", settings(2), 7)


def test_every_style_has_its_clips_at_the_paths_listed(built: tuple[Path, list[Clip]]) -> None:
    staging, clips = built
    assert len(scores.STYLES) >= 8
    assert Counter(clip.label for clip in clips) == dict.fromkeys(scores.STYLES, 2)
    promised = {staging / Path(clip.path).relative_to(paths.AUDIO) for clip in clips}
    assert promised == {file for file in staging.rglob("*") if file.is_file()}
    for clip in clips:
        assert clip.path.isascii() and clip.path.startswith(f"data/audio/{clip.label}/")
        assert clip.origin.startswith("synthesised from the score ")
        assert clip.licence


def test_clips_have_one_format_one_level_and_no_silence(built: tuple[Path, list[Clip]]) -> None:
    for file in built[0].rglob("*.flac"):
        info = soundfile.info(file)
        assert (info.frames, info.samplerate, info.channels) == (10 * 22_050, 22_050, 1)
        assert (info.format, info.subtype) == ("FLAC", "PCM_16")
        samples, _ = soundfile.read(file)
        assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.07, rel=0.01)
        assert abs(samples.mean()) < 0.001
        seconds = np.sqrt(np.mean(samples.reshape(10, -1) ** 2, axis=1))
        assert seconds.min() > 0.001
        assert np.abs(samples[: 22_050 // 5]).max() > 0.01


def test_no_two_clips_sound_the_same(built: tuple[Path, list[Clip]]) -> None:
    contents = [soundfile.read(file)[0].tobytes() for file in built[0].rglob("*.flac")]
    assert len(set(contents)) == len(contents) == 2 * len(scores.STYLES)


def test_bytes_do_not_depend_on_the_number_of_processes(built: tuple[Path, list[Clip]], tmp_path: Path) -> None:
    labels = ["bach-chorale", "irish-tune"]
    pieces = [piece for label in labels for piece in scores.pieces(label, scores.corpus())]
    clips = synthesise(pieces, tmp_path, clips=2, workers=3)
    assert clips == [clip for clip in built[1] if clip.label in labels]
    for label in labels:
        assert content(tmp_path / "staging" / label) == content(built[0] / label)


def test_another_seed_gives_other_clips(tmp_path: Path) -> None:
    pieces = [tune(f"tune {number}", seed=number) for number in range(30)]
    first = synthesise(pieces, tmp_path / "7", clips=2, seed=7)
    other = synthesise(pieces, tmp_path / "8", clips=2, seed=8)
    assert {clip.origin for clip in first} != {clip.origin for clip in other}
    assert not set(content(tmp_path / "7/staging").values()) & set(content(tmp_path / "8/staging").values())


def test_a_build_resumes_from_the_cache(tmp_path: Path) -> None:
    pieces = [tune("one", seed=1), tune("two", seed=2)]
    clips = synthesise(pieces, tmp_path, clips=2)
    made, cached = content(tmp_path / "staging"), content(tmp_path / "cache")
    lost = sorted((tmp_path / "cache").glob("*.json"))[0]
    lost.unlink()
    untouched = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").glob("*.json")}
    assert synthesise(pieces, tmp_path, clips=2) == clips
    assert (content(tmp_path / "staging"), content(tmp_path / "cache")) == (made, cached)
    assert untouched == {file: file.stat().st_mtime_ns for file in untouched}


def test_a_killed_build_leaves_no_process_behind(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from pipeline.sources import load
from pipeline.config.data import Data
settings = Data.model_validate_json({settings(2).model_dump_json()!r})
load("starter")(Path("staging"), Path("cache"), settings, 7)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(starter.__file__).parents[3])}
    build = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment, start_new_session=True)
    wait_until(lambda: any(tmp_path.glob("cache/*.json")))
    build.kill()
    build.wait()
    wait_until(lambda: not group_lives(build.pid))


def group_lives(process_group: int) -> bool:
    try:
        os.killpg(process_group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_piece_gives_several_clips_without_playing_a_bar_twice(tmp_path: Path) -> None:
    clips = synthesise([tune("long", bars=60)], tmp_path, clips=4)
    spans = sorted(json.loads(file.read_text())["span"] for file in (tmp_path / "cache").glob("*.json"))
    assert len(clips) == len(spans) == 4
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert {clip.group for clip in clips} == {"long"}


def test_unusable_scores_are_replaced_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "broken.mxl").write_bytes(b"not a score")
    (tmp_path / "broken.krn").write_bytes(b"**kern\n4c\t4d\n=\n*-\n")
    (tmp_path / "empty.xml").write_text("<score-partwise><part-list/></score-partwise>")
    names = ["broken.mxl", "broken.krn", "empty.xml"]
    bad = [Piece(LABEL, name, name, name) for name in names]
    good = [tune("one", 40, seed=1), tune("two", 40, seed=2)]
    candidates = {LABEL: [*bad, tune("short", bars=3), *good]}
    with caplog.at_level(logging.INFO, logger="pipeline"):
        clips = starter.synthesise(candidates, tmp_path, tmp_path / "staging", tmp_path / "cache", settings(4), 7, 1)
    assert {clip.group for clip in clips} == {"one", "two"}
    assert "skipped 4 scores" in caplog.text
    assert f"1 x {LABEL}: it is too short" in caplog.text
    assert f"{LABEL}: music21 cannot parse it" in caplog.text


def test_equal_music_makes_one_clip_and_too_few_clips_are_an_error(tmp_path: Path) -> None:
    message = r"too few: 1 clip.*lower data\.starter\.clips_per_style or data\.starter\.seconds in params\.yaml"
    with pytest.raises(SourceError, match=message):
        synthesise([tune("one", bars=8), tune("two", bars=8)], tmp_path, clips=2)


def test_movements_titles_and_books_are_grouped() -> None:
    labels = [label for label in scores.STYLES if label != "palestrina-mass"]
    pieces = [piece for label in labels for piece in scores.pieces(label, scores.corpus())]

    def groups(*beginnings: str) -> int:
        found = {begin: {p.group for p in pieces if p.name.startswith(begin)} for begin in beginnings}
        assert all(found.values())
        return len(set().union(*found.values()))

    assert groups("haydn/opus74no1/") == 1
    assert groups("haydn/opus74no1/", "haydn/opus1no1/") == 2
    assert groups("monteverdi/madrigal.4.") == 1
    assert groups("monteverdi/madrigal.4.", "monteverdi/madrigal.5.") == 2
    assert groups("bach/bwv227.1.mxl", "bach/bwv358.mxl") == 1  # Jesu, meine Freude
    assert groups("bach/bwv358.mxl", "bach/bwv269.mxl") == 2
    assert groups("trecento/PMFC_13_01-Kyrie-Summe", "trecento/PMFC_23_22-Kyrie Summe") == 1
    assert groups("Zou xikou, 1) (", "Zou xikou, 2) (", "Zou xikou (") == 1
    assert groups("The Tenpenny Bit. 1st Setting.", "The Tenpenny Bit. 2nd Setting.") == 1


def test_movements_of_a_mass_are_grouped() -> None:
    masses = {piece.name: piece.group for piece in scores.pieces("palestrina-mass", scores.corpus())}
    assert len(set(masses.values())) > 90
    assert masses["palestrina/Agnus_I_08.krn"] == masses["palestrina/Agnus_II_08.krn"]


def test_one_tune_under_two_titles_is_one_group(tmp_path: Path) -> None:
    known = {"No Longer Can I Stay", "Silken Cravat., The", "The Enchanted Valley"}
    irish = scores.pieces("irish-tune", scores.corpus())
    pieces = [piece for piece in irish if piece.name.partition(" (")[0] in known]
    assert len({piece.group for piece in pieces}) == len(pieces) == 3
    clips = {clip.origin.split(" (")[0].split("score ")[1]: clip for clip in synthesise(pieces, tmp_path, 3)}
    assert clips["No Longer Can I Stay"].group == clips["Silken Cravat., The"].group
    assert clips["The Enchanted Valley"].group != clips["Silken Cravat., The"].group


def test_only_sounding_notes_are_read() -> None:
    text = 'X:1\nT:Ties\nM:6/8\nL:1/8\nK:C\n"Am"A3-A3- | A3 {c}B3 | [CE]3 z3 |]\n'
    score = scores.read(Piece(LABEL, "ties", "ties", "book.abc", text), scores.corpus(), bars=60)
    assert score.notes == [Note(0.0, 4.5, 69, 0), Note(4.5, 6.0, 71, 0), Note(6.0, 7.5, 60, 0), Note(6.0, 7.5, 64, 0)]
    assert (score.bars, score.beat) == ([0.0, 3.0, 6.0], 1.5)


def movement() -> Piece:
    return next(
        p for p in scores.pieces("viennese-quartet", scores.corpus()) if p.file == "haydn/opus74no1/movement1.mxl"
    )


def test_of_a_long_score_the_beginning_is_read_as_in_the_whole() -> None:
    beginning, whole = (scores.read(movement(), scores.corpus(), bars) for bars in (24, 1000))
    assert beginning.bars == whole.bars[:24]
    end = beginning.bars[-1]
    assert [n for n in beginning.notes if n.end <= end] == [n for n in whole.notes if n.end <= end]
    assert beginning.beat == whole.beat


def test_a_long_score_is_read_as_far_as_clips_are_asked_of_it(tmp_path: Path) -> None:
    whole = scores.read(movement(), scores.corpus(), 1000)
    assert len(synthesise([movement()], tmp_path, 10)) == 10
    spans = [json.loads(file.read_text())["span"] for file in (tmp_path / "cache").glob("*.json")]
    assert max(end for _, end in spans) > whole.bars[5 * int(SECONDS)]
