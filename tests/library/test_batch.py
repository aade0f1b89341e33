"""A folder of music: which files are tried, what is cached, and what a person sees."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from processes import reader_killed

from pipeline import cli
from pipeline.base.errors import UserError
from pipeline.data import urls
from pipeline.library import answering, batch, output
from pipeline.library.batch import Song
from pipeline.serving import isolated, manifest
from pipeline.serving.isolated import Prediction
from pipeline.serving.predictor import predict
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


class Workers:
    """Replaces processes: records the songs, and is interrupted before the song ``fatal``."""

    def __init__(self) -> None:
        self.songs: list[str] = []
        self.fatal = ""

    def predict(self, bundle: Path, code: Path, songs: Sequence[Path]) -> Iterator[Prediction]:  # noqa: ARG002
        for song in songs:
            if song.name == self.fatal:
                raise KeyboardInterrupt
            self.songs.append(song.name)
            if song.suffix == ".xyz":
                yield {"reason": "cannot be decoded: Format not recognised."}
            else:
                likely = {"low": 0.7, "middle": 0.2, "high": 0.1}
                yield {
                    "label": "low",
                    "guess": "low",
                    "confidence": 0.7,
                    "verdict": "confident",
                    "distance": 1.0,
                    "seconds": 3.0,
                    "probabilities": likely,
                }


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    found = Workers()
    monkeypatch.setattr(isolated, "predict", found.predict)
    return found


def test_every_file_that_may_be_audio_is_tried(music: Path) -> None:
    found, others = batch.find(music)
    assert [str(file.relative_to(music)) for file in found] == sorted([*NAMES, "dangling.wav"])
    assert others == 2
    assert batch.find(music / "a.wav") == ([music / "a.wav"], 0)


def test_a_folder_without_music_says_so(tmp_path: Path) -> None:
    (tmp_path / "cover.jpg").touch()
    with pytest.raises(UserError, match="have no music"):
        batch.find(tmp_path)
    with pytest.raises(UserError, match="is not a folder"):
        batch.find(tmp_path / "gone")


def test_an_interrupted_run_continues_and_a_changed_file_is_classified_again(
    music: Path, model: Registered, workers: Workers, tmp_path: Path
) -> None:
    files, _ = batch.find(music)
    cache = tmp_path / "cache"
    workers.fatal = files[3].name
    with pytest.raises(KeyboardInterrupt):
        batch.classify(files, model, cache)
    (lines,) = cache.iterdir()
    with lines.open("a") as cut_off:
        cut_off.write('{"key": "half a li')
    first, workers.songs, workers.fatal = list(workers.songs), [], ""
    assert first == [file.name for file in files[:3]]
    songs = batch.classify(files, model, cache)
    assert workers.songs == [file.name for file in files[3:]]
    assert [song.file for song in songs] == files
    workers.songs = []
    assert batch.classify(files, model, cache) == songs
    assert workers.songs == []
    files[0].write_bytes(b"other content")
    batch.classify(files, model, cache)
    assert workers.songs == [files[0].name]


def test_another_model_classifies_everything_again(
    music: Path, model: Registered, workers: Workers, tmp_path: Path
) -> None:
    files, _ = batch.find(music)
    batch.classify(files, model, tmp_path / "cache")
    (model.folder / "MLmodel").write_text("two")
    batch.classify(files, model, tmp_path / "cache")
    assert len(workers.songs) == 2 * len(files)


def test_each_file_has_one_line(music: Path, model: Registered, workers: Workers, tmp_path: Path) -> None:  # noqa: ARG001
    files, _ = batch.find(music)
    songs = batch.classify(files, model, tmp_path / "cache")
    songs[0] = replace(songs[0], verdict="uncertain")
    songs[2] = replace(songs[2], verdict="out-of-distribution", distance=9.04)
    songs[3] = replace(songs[3], distance=0.0)
    lines = output.lines(songs, music, 2, {model.uri: manifest.load(model.bundle)})
    assert all("\n" not in line for line in lines)
    shown = {row[0]: row[1:] for row in (re.split(" {2,}", line) for line in lines[: len(files) + 1])}
    assert shown["file"] == ["verdict", "guess", "confidence", "note"]
    assert shown["a.wav"] == ["uncertain", "low", "70 %", "middle 20 %"]
    assert shown["c.xyz"] == ["not read", "cannot be decoded: Format not recognised."]
    assert shown[str(files[2].relative_to(music))] == ["out-of-distribution", "3.0 times the limit"]
    assert shown[str(files[3].relative_to(music))] == ["confident", "low", "70 %", "training clip; middle 20 %"]
    assert "7 files: 4 confident, 1 uncertain, 1 out-of-distribution, 1 not read." in lines
    assert "Labels: low 4." in lines
    assert any(line.startswith("training clip: the model was trained on this song") for line in lines)


def test_tables_hold_every_probability(tmp_path: Path, model: Registered) -> None:
    known = manifest.load(model.bundle)
    likely = {"low": 0.5, "middle": 0.3, "high": 0.2}
    models = {"models:/m/1": known, "models:/m-tags/1": known.model_copy(update={"labels": ["low", "folk"]})}
    folk = {"low": 0.4, "folk": 0.6}
    songs = [
        Song(Path("a,b.wav"), "", "low", "confident", 1.5, 2.0, likely, model="models:/m/1"),
        Song(Path("b.wav"), "", "low", "uncertain", 1.5, 2.0, likely, model="models:/m/1"),
        Song(Path("c.wav"), "", "folk", "confident", 0.5, 2.0, folk, {"sad": 0.3, "harp": 0.1}, "models:/m-tags/1"),
        Song(Path("x.mp3"), "broken"),
    ]
    output.write_csv(songs, models, tmp_path / "songs.csv")
    assert (tmp_path / "songs.csv").read_text().splitlines() == [
        "file,label,guess,confidence,verdict,training_clip,distance,seconds,model,tags,p:low,p:middle,p:high,p:folk,reason",
        '"a,b.wav",low,low,0.5,confident,False,1.5,2.0,models:/m/1,,0.5,0.3,0.2,,',
        "b.wav,,low,0.5,uncertain,False,1.5,2.0,models:/m/1,,0.5,0.3,0.2,,",
        'c.wav,folk,folk,0.6,confident,False,0.5,2.0,models:/m-tags/1,"sad, harp",0.4,,,0.6,',
        "x.mp3,,,,not read,,,,,,,,,,broken",
    ]
    output.write_json(songs, models, tmp_path / "songs.json")
    written = json.loads((tmp_path / "songs.json").read_text())
    assert [one["uri"] for one in written["models"]] == list(models)
    assert written["models"][0] == {
        "uri": "models:/m/1",
        "experiment": known.experiment,
        "labels": known.labels,
        "confidence_threshold": known.confidence_threshold,
        "target_precision": known.target_precision,
        "ood_threshold": known.ood_threshold,
    }
    first, uncertain, folk_song, broken = written["songs"]
    assert first["probabilities"] == likely
    assert (first["label"], first["guess"], first["confidence"]) == ("low", "low", 0.5)
    assert (uncertain["label"], uncertain["guess"]) == ("", "low")
    assert (folk_song["model"], folk_song["tags"]) == ("models:/m-tags/1", {"sad": 0.3, "harp": 0.1})
    assert broken == {"file": "x.mp3", "verdict": "not read", "reason": "broken"}


def test_a_lower_threshold_gives_more_labels() -> None:
    likely = {"low": 0.5, "high": 0.5}
    uncertain = Song(Path("a.wav"), "", "low", "uncertain", 1.0, 2.0, likely)
    assert uncertain.at_threshold(0.5).confident
    assert not uncertain.at_threshold(0.51).confident
    far = replace(uncertain, verdict="out-of-distribution")
    assert far.at_threshold(0.1) == far
    broken = Song(Path("b.wav"), "broken")
    assert broken.at_threshold(0.1) == broken


def test_playlists_hold_confident_songs_the_most_confident_first(tmp_path: Path) -> None:
    def made(name: str, label: str, probability: float, verdict: str = "confident") -> Song:
        return Song(tmp_path / "music" / name, "", label, verdict, 1.0, 61.6, {label: probability})

    songs = [
        made("b.mp3", "AC/DC", 0.6),
        made("a.mp3", "AC/DC", 0.9),
        made("#1.mp3", "low", 0.9),
        made("odd\n.mp3", "low", 0.8),
        made("u.mp3", "other", 0.4, "uncertain"),
        Song(Path("x.mp3"), "broken"),
    ]
    written = output.write_playlists(songs, tmp_path / "lists")
    assert [file.name for file in written] == ["AC_DC.m3u8", "low.m3u8"]
    assert written[0].read_text().splitlines() == [
        "#EXTM3U",
        "#EXTINF:62,a",
        "../music/a.mp3",
        "#EXTINF:62,b",
        "../music/b.mp3",
    ]
    assert written[1].read_text().splitlines()[1:] == ["#EXTINF:62,#1", "../music/#1.mp3"]
    assert [file.name for file in output.write_playlists(songs[2:3], tmp_path / "music")] == ["low.m3u8"]
    tagged = replace(songs[0], tags={"sad": 0.3}), replace(songs[4], tags={"sad": 0.4})
    *_, sad = output.write_playlists(tagged, tmp_path / "lists")
    assert sad.relative_to(tmp_path / "lists") == Path("tags/sad.m3u8")
    assert sad.read_text().splitlines()[2::2] == ["../../music/u.mp3", "../../music/b.mp3"]
    assert "./#1.mp3" in (tmp_path / "music/low.m3u8").read_text()


def test_a_name_that_is_not_utf_8_is_classified_shown_and_written(
    song: Callable[..., Path],
    model: Registered,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By the command, with its worker processes."""
    song("low", "music/a.wav").rename(tmp_path / "music" / NOT_UTF_8)
    monkeypatch.setattr(answering, "chosen", lambda _: model)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    files = ["--csv", "songs.csv", "--json", "songs.json", "--playlists", "lists"]
    monkeypatch.setattr(sys, "argv", ["soundtrack", "classify", "music", *files, "--write-tags"])
    for _ in ("classified", "cached"):
        with pytest.raises(SystemExit, match="0"):
            cli.main()
        shown = capsys.readouterr().out
        assert re.search(r"^\?\.wav  confident +low +\d+ %", shown, re.MULTILINE)
        assert "music/\\udcff.wav: genre none -> low" in shown
        assert b"\r\nmusic/\xff.wav,low,low,0." in (tmp_path / "songs.csv").read_bytes()
        assert json.loads((tmp_path / "songs.json").read_text())["songs"][0]["file"] == f"music/{NOT_UTF_8}"
        assert b"\n../music/\xff.wav\n" in (tmp_path / "lists/low.m3u8").read_bytes()


def test_what_decoders_say_of_a_damaged_file_does_not_reach_the_screen(
    song: Callable[..., Path],
    model: Registered,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    song("low", "music/a.wav")
    (tmp_path / "music/junk.mp3").write_bytes(np.random.default_rng(0).bytes(200_000))
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(tmp_path / "music/junk.mp3")
    assert "libmpg123" in capfd.readouterr().err, "it does say something"
    monkeypatch.setattr(answering, "chosen", lambda _: model)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["soundtrack", "classify", "music"])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    shown = capfd.readouterr()
    assert shown.err == ""
    assert re.search(r"^junk\.mp3 +not read +cannot be decoded: ", shown.out, re.MULTILINE)
    assert "2 files: 1 confident, 1 not read." in shown.out
    assert "Model: models:/soundtrack/1 (" in shown.out
    assert "Next: --playlists FOLDER" in shown.out


def test_a_killed_worker_is_named_and_what_was_classified_stays(
    model: Registered,
    song: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    good, large = song("low", "music/a.wav"), song("high", "music/b.wav")
    content = large.read_bytes()
    monkeypatch.setattr(answering, "chosen", lambda _: model)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("SOUNDTRACK_WORKERS", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["soundtrack", "classify", "music"])
    with reader_killed(large), pytest.raises(SystemExit) as end:
        cli.main()
    assert "b.wav: a worker process was killed, probably because memory ran out. Start again" in str(end.value.code)
    assert "Traceback" not in capfd.readouterr().err
    large.write_bytes(content)
    asked: list[Sequence[Path]] = []
    predict = isolated.predict

    def noted(bundle: Path, code: Path, songs: Sequence[Path]) -> Iterator[Prediction]:
        asked.append(songs)
        return predict(bundle, code, songs)

    monkeypatch.setattr(isolated, "predict", noted)
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    assert asked == [[large.relative_to(tmp_path)]], f"{good} was classified before"


def test_one_bad_song_does_not_stop_the_others(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp3").write_text("no music")
    assert "cannot be decoded" in predict(str(tmp_path / "text.mp3"), str(bundle))["reason"]
    (bundle / manifest.GRAPH).write_bytes(b"no graph")
    found = predict(str(tmp_path / "text.mp3"), str(bundle.rename(tmp_path / "broken")))
    assert found["reason"].startswith("cannot be classified: ")
    assert found["unexpected"]


def test_an_unexpected_failure_is_shown_and_tried_again(
    music: Path, model: Registered, workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, cache = [music / "a.wav", music / "no ending"], tmp_path / "cache"
    broken = {"reason": "cannot be classified: MemoryError: ", "unexpected": True}
    damaged = {"reason": "no audio"}
    with monkeypatch.context() as failing:
        failing.setattr(isolated, "predict", lambda *_: iter([dict(broken), dict(damaged)]))
        other = [files[0], music / "c.xyz"]
        assert [song.reason for song in batch.classify(other, model, cache)] == [broken["reason"], "no audio"]
        failing.setattr(isolated, "predict", lambda *given: iter([dict(broken) for _ in given[2]]))
        with pytest.raises(UserError, match=r"cannot be used here: cannot be classified: MemoryError"):
            batch.classify(files, model, cache)
    assert [song.label for song in batch.classify(files, model, cache)] == ["low", "low"]
    assert workers.songs == ["a.wav", "no ending"]


def test_songs_at_a_url_are_classified_as_files_are(
    model: Registered,
    song: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    song("low", "music/in/a.wav")
    song("high", "music/b.wav")
    (tmp_path / "music/.hidden.wav").write_text("no music")
    (tmp_path / "music/cover.jpg").write_text("no music")
    monkeypatch.setattr(answering, "chosen", lambda _: model)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def classified(place: str, *more: str) -> tuple[list[dict[str, Any]], str]:
        monkeypatch.setattr(sys, "argv", ["soundtrack", "classify", place, "--json", "songs.json", *more])
        with pytest.raises(SystemExit, match=r"^0$"):
            cli.main()
        return json.loads(Path("songs.json").read_text())["songs"], capfd.readouterr().out

    files, _ = classified("music")
    url = f"file://{tmp_path}/music"
    found, shown = classified(url, "--playlists", "lists")
    assert [one.pop("file") for one in found] == [f"{url}/b.wav", f"{url}/in/a.wav"]
    assert found == [{name: value for name, value in one.items() if name != "file"} for one in files]
    assert re.search(r"^in/a\.wav +confident +low", shown, re.MULTILINE)
    assert "1 other file skipped" in shown
    assert f"\n{url}/in/a.wav\n" in Path("lists/low.m3u8").read_text()
    one, _ = classified(f"{url}/b.wav")
    assert [song["file"] for song in one] == [f"{url}/b.wav"]

    content = (tmp_path / "music/b.wav").read_bytes()
    (tmp_path / "music/b.wav").unlink()
    with monkeypatch.context() as moment:
        moment.setattr(urls, "listed", lambda _: {"b.wav": "later"})
        gone, _ = classified(url)
        assert "cannot be fetched: FileNotFoundError" in gone[0]["reason"]
        (tmp_path / "music/b.wav").write_bytes(content)
        assert classified(url)[0] == one, "it is tried again"
    monkeypatch.setattr(sys, "argv", ["soundtrack", "classify", url, "--write-tags"])
    with pytest.raises(SystemExit, match="not at a URL"):
        cli.main()
