"""A folder of music: which files are tried, what is remembered, and what a person is told."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.errors import UserError
from pipeline.library import batch, commands, output, playlists
from pipeline.library.batch import Song
from pipeline.serving import manifest
from pipeline.serving.isolated import Listen, Told, listen
from pipeline.tracking.registry import Registered

NOT_UTF_8 = os.fsdecode(b"\xff.wav")
NAMES = ("a.wav", "deep/er/b.MP3", "no ending", "c.xyz", "emoji 🎵\n.flac", NOT_UTF_8)


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    for name in (*NAMES, "cover.JPG", "deep/list.m3u8", ".hidden.wav", ".trash/d.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.fsencode(name))
    (folder / "loop").symlink_to(folder)
    (folder / "dangling.wav").symlink_to(folder / "nowhere.wav")
    return folder


@pytest.fixture
def model(package: Path, tmp_path: Path) -> Registered:
    folder = tmp_path / "model"
    (folder / "artifacts").mkdir(parents=True)
    package.rename(folder / "artifacts/package")
    (folder / "MLmodel").write_text("one")
    return Registered("1", folder)


class Ears:
    """In place of processes: takes note of what was heard, and is killed before the song ``fatal``."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.fatal = ""

    @contextmanager
    def listening(self, package: Path, code: Path) -> Iterator[Listen]:  # noqa: ARG002
        yield self.listen

    def listen(self, songs: Sequence[Path]) -> Iterator[Told]:
        for song in songs:
            if song.name == self.fatal:
                raise KeyboardInterrupt
            self.heard.append(song.name)
            if song.suffix == ".xyz":
                yield {"reason": "cannot be decoded: Format not recognised."}
            else:
                likely = {"low": 0.7, "middle": 0.2, "high": 0.1}
                yield {
                    "label": "low",
                    "verdict": "named",
                    "distance": 1.0,
                    "seconds": 3.0,
                    "probabilities": likely,
                }


@pytest.fixture
def ears(monkeypatch: pytest.MonkeyPatch) -> Ears:
    found = Ears()
    monkeypatch.setattr(batch, "listening", found.listening)
    return found


def test_all_that_may_be_music_is_tried(music: Path) -> None:
    found, beside = batch.songs(music)
    assert [str(file.relative_to(music)) for file in found] == sorted([*NAMES, "dangling.wav"])
    assert [file.name for file in beside] == ["cover.JPG", "list.m3u8"]
    assert batch.songs(music / "a.wav") == ([music / "a.wav"], [])


def test_a_folder_without_music_says_so(tmp_path: Path) -> None:
    (tmp_path / "cover.jpg").touch()
    with pytest.raises(UserError, match="has no music in it"):
        batch.songs(tmp_path)
    with pytest.raises(UserError, match="is no folder"):
        batch.songs(tmp_path / "gone")


def test_an_interrupted_run_goes_on_and_a_changed_file_is_heard_again(
    music: Path, model: Registered, ears: Ears, tmp_path: Path
) -> None:
    files, _ = batch.songs(music)
    kept = batch.kept(tmp_path / "kept", model)
    ears.fatal = files[3].name
    with pytest.raises(KeyboardInterrupt):
        batch.classify(files, model, kept)
    with kept.open("a") as cut_off:
        cut_off.write('{"key": "half a li')
    first, ears.heard, ears.fatal = list(ears.heard), [], ""
    assert first == [file.name for file in files[:3]]
    songs = batch.classify(files, model, kept)
    assert ears.heard == [file.name for file in files[3:]]
    assert [song.file for song in songs] == files
    ears.heard = []
    assert batch.classify(files, model, kept) == songs
    assert ears.heard == []
    files[0].write_bytes(b"other content")
    batch.classify(files, model, kept)
    assert ears.heard == [files[0].name]


def test_another_model_hears_all_again(music: Path, model: Registered, ears: Ears, tmp_path: Path) -> None:
    files, _ = batch.songs(music)
    batch.classify(files, model, batch.kept(tmp_path, model))
    (model.folder / "MLmodel").write_text("two")
    batch.classify(files, model, batch.kept(tmp_path, model))
    assert len(ears.heard) == 2 * len(files)


def test_each_file_has_one_line(music: Path, model: Registered, ears: Ears, tmp_path: Path) -> None:  # noqa: ARG001
    files, _ = batch.songs(music)
    songs = batch.classify(files, model, batch.kept(tmp_path, model))
    songs[0] = replace(songs[0], verdict="unsure")
    songs[2] = replace(songs[2], verdict="unfamiliar", distance=9.04)
    lines = output.lines(songs, music, 2, manifest.load(model.package))
    assert all("\n" not in line for line in lines)
    told = dict(line.split("  ", 1) for line in lines[: len(files)])
    assert told["a.wav"].strip() == "unsure: low 0.70, middle 0.20"
    assert "out of its depth (distance 9.0, known up to 3.0)" in "".join(lines)
    assert "not read: cannot be decoded: Format not recognised." in "".join(lines)
    assert "7 files: 4 named, 1 unsure, 1 out of its depth, 1 not read." in lines
    assert "low 4" in lines


def test_tables_hold_every_probability(tmp_path: Path, model: Registered) -> None:
    known = manifest.load(model.package)
    likely = {"low": 0.5, "middle": 0.3, "high": 0.2}
    songs = [
        Song(Path("a,b.wav"), "", "low", "named", 1.5, 2.0, likely),
        Song(Path("b.wav"), "", "low", "unsure", 1.5, 2.0, likely),
        Song(Path("c.wav"), "", "low", "unfamiliar", 9.5, 2.0, likely),
        Song(Path("x.mp3"), "broken"),
    ]
    output.write_csv(songs, known, tmp_path / "songs.csv")
    assert (tmp_path / "songs.csv").read_text().splitlines() == [
        "file,label,guess,confidence,verdict,distance,seconds,p:low,p:middle,p:high,reason",
        '"a,b.wav",low,low,0.5,named,1.5,2.0,0.5,0.3,0.2,',
        "b.wav,,low,0.5,unsure,1.5,2.0,0.5,0.3,0.2,",
        "c.wav,,low,0.5,unfamiliar,9.5,2.0,0.5,0.3,0.2,",
        "x.mp3,,,,,,,,,,broken",
    ]
    output.write_json(songs, tmp_path / "songs.json")
    first, unsure, unfamiliar, broken = json.loads((tmp_path / "songs.json").read_text())
    assert first["probabilities"] == likely
    assert (first["label"], first["guess"], first["confidence"]) == ("low", "low", 0.5)
    assert (unsure["label"], unsure["guess"]) == (unfamiliar["label"], unfamiliar["guess"]) == ("", "low")
    assert broken == {"file": "x.mp3", "reason": "broken"}


def test_a_lower_precision_names_more() -> None:
    likely = {"low": 0.5, "high": 0.5}
    unsure = Song(Path("a.wav"), "", "low", "unsure", 1.0, 2.0, likely)
    assert batch.judged(unsure, 0.5).named
    assert not batch.judged(unsure, 0.51).named
    far = replace(unsure, verdict="unfamiliar")
    assert batch.judged(far, 0.1) == far
    broken = Song(Path("b.wav"), "broken")
    assert batch.judged(broken, 0.1) == broken


def test_playlists_hold_what_is_named_the_surest_first(tmp_path: Path) -> None:
    def made(name: str, label: str, probability: float, verdict: str = "named") -> Song:
        return Song(tmp_path / "music" / name, "", label, verdict, 1.0, 61.6, {label: probability})

    songs = [
        made("b.mp3", "AC/DC", 0.6),
        made("a.mp3", "AC/DC", 0.9),
        made("#1.mp3", "low", 0.9),
        made("odd\n.mp3", "low", 0.8),
        made("u.mp3", "unheard", 0.4, "unsure"),
        Song(Path("x.mp3"), "broken"),
    ]
    written = playlists.write(songs, tmp_path / "lists")
    assert [file.name for file in written] == ["AC_DC.m3u8", "low.m3u8"]
    assert written[0].read_text().splitlines() == [
        "#EXTM3U",
        "#EXTINF:62,a",
        "../music/a.mp3",
        "#EXTINF:62,b",
        "../music/b.mp3",
    ]
    assert written[1].read_text().splitlines()[1:] == ["#EXTINF:62,#1", "../music/#1.mp3"]
    assert [file.name for file in playlists.write(songs[2:3], tmp_path / "music")] == ["low.m3u8"]
    assert "./#1.mp3" in (tmp_path / "music/low.m3u8").read_text()


def test_a_name_that_is_not_utf_8_is_heard_told_and_written(
    song: Callable[..., Path],
    model: Registered,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By the whole command, but that its processes are this one."""

    @contextmanager
    def listening(package: Path, code: Path) -> Iterator[Listen]:  # noqa: ARG001
        yield lambda songs: (listen(song, package) for song in songs)

    song("low", "music/a.wav").rename(tmp_path / "music" / NOT_UTF_8)
    monkeypatch.setattr(batch, "listening", listening)
    monkeypatch.setattr(commands, "chosen", lambda _: model)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    files = ["--csv", "songs.csv", "--json", "songs.json", "--playlists", "lists"]
    monkeypatch.setattr(sys, "argv", ["soundtrack", "classify", "music", *files, "--write-tags"])
    for _ in ("heard", "known"):
        with pytest.raises(SystemExit, match="0"):
            cli.main()
        shown = capsys.readouterr().out
        assert shown.startswith("?.wav  low 0.")
        assert "music/\\udcff.wav: genre none -> low" in shown
        assert b"\r\nmusic/\xff.wav,low,low,0." in (tmp_path / "songs.csv").read_bytes()
        assert json.loads((tmp_path / "songs.json").read_text())[0]["file"] == f"music/{NOT_UTF_8}"
        assert b"\n../music/\xff.wav\n" in (tmp_path / "lists/low.m3u8").read_bytes()


def test_one_bad_song_does_not_cost_the_others(package: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp3").write_text("no music")
    assert "cannot be decoded" in listen(tmp_path / "text.mp3", package)["reason"]
    (package / manifest.GRAPH).write_bytes(b"no graph")
    found = listen(tmp_path / "text.mp3", package.rename(tmp_path / "broken"))
    assert found["reason"].startswith("cannot be classified: ")
    assert found["unexpected"]


def test_an_unexpected_failure_is_told_and_tried_again(
    music: Path, model: Registered, ears: Ears, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, kept = [music / "a.wav", music / "no ending"], batch.kept(tmp_path, model)
    broken = {"reason": "cannot be classified: MemoryError: ", "unexpected": True}
    with monkeypatch.context() as failing:
        failing.setattr(ears, "listen", lambda songs: iter([dict(broken) for _ in songs]))
        assert [song.reason for song in batch.classify(files, model, kept)] == [broken["reason"]] * 2
    assert [song.label for song in batch.classify(files, model, kept)] == ["low", "low"]
