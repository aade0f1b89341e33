"""Genres in files of several formats: shown, written with a backup, restored; no other tag is touched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutagen
import pytest
import soundfile

from pipeline.base.errors import UserError
from pipeline.library import commands, difference, genres, tags
from pipeline.library.batch import Song

FORMATS = ("wav", "flac", "ogg", "opus", "mp3", "aiff")


@pytest.fixture
def track(tmp_path: Path, tone: Callable[..., Any]) -> Callable[..., Any]:
    """``track("a.mp3", verdict="confident")``: a song whose label is ``jazz``."""

    def make(name: str, verdict: str = "confident") -> Song:
        file = tmp_path / name
        kind = {"opus": ("OGG", "OPUS")}.get(file.suffix[1:], (None, None))
        rate = 48000 if file.suffix == ".opus" else 22050
        soundfile.write(file, tone(440), rate, format=kind[0], subtype=kind[1])
        return Song(file, "", "jazz", verdict, 1.0, 1.0, {"jazz": 0.9})

    return make


def write(file: Path, values: list[str]) -> None:
    with genres.rewritten(file, values):
        pass


@pytest.mark.parametrize("ending", FORMATS)
def test_a_genre_is_written_and_given_back(ending: str, track: Callable[..., Any], tmp_path: Path) -> None:
    song = track(f"a.{ending}")
    write(song.file, ["Trip Hop", "Dub"])
    sound = soundfile.read(song.file)[0]
    planned = [change for change in tags.changes([song]) if isinstance(change, tags.Change)]
    assert [(change.old, change.new) for change in planned] == [(["Trip Hop", "Dub"], ["jazz"])]
    assert genres.read(song.file) == ["Trip Hop", "Dub"], "to look at a change writes nothing"
    backup = tmp_path / "backup.jsonl"
    assert list(tags.apply(planned, backup)) == []
    assert genres.read(song.file) == ["jazz"]
    assert list(tags.changes([song])) == []
    assert (soundfile.read(song.file)[0] == sound).all()
    assert list(tags.restore(backup)) == [song.file]
    assert genres.read(song.file) == ["Trip Hop", "Dub"]


@pytest.mark.parametrize("ending", FORMATS)
def test_a_file_without_a_genre_has_none_again(ending: str, track: Callable[..., Any], tmp_path: Path) -> None:
    song = track(f"a.{ending}")
    planned = [change for change in tags.changes([song]) if isinstance(change, tags.Change)]
    list(tags.apply(planned, tmp_path / "backup.jsonl"))
    assert genres.read(song.file) == ["jazz"]
    list(tags.restore(tmp_path / "backup.jsonl"))
    assert genres.read(song.file) == []


def test_a_link_stays_one_and_its_song_has_the_genre(track: Callable[..., Any], tmp_path: Path) -> None:
    song = track("a.mp3").file
    link = tmp_path / "music/deep/link.mp3"
    link.parent.mkdir(parents=True)
    link.symlink_to("../../a.mp3")
    write(song, ["Dub"])
    planned = [tags.Change(link, ["Dub"], ["jazz"])]
    assert list(tags.apply(planned, tmp_path / "backup.jsonl")) == []
    assert link.is_symlink()
    assert genres.read(song) == ["jazz"]
    assert list(tags.restore(tmp_path / "backup.jsonl")) == [link]
    assert link.is_symlink()
    assert genres.read(song) == ["Dub"]


def test_other_tags_stay(track: Callable[..., Any]) -> None:
    song = track("a.flac")
    audio = mutagen.File(song.file)
    audio["artist"] = "Björk"
    audio.save()
    write(song.file, ["jazz"])
    assert mutagen.File(song.file)["artist"] == ["Björk"]


def test_only_confident_songs_are_changed(track: Callable[..., Any]) -> None:
    songs = [track("a.mp3", "uncertain"), track("b.mp3", "out-of-distribution"), Song(Path("c.mp3"), "broken")]
    assert list(tags.changes(songs)) == []


def test_a_file_that_takes_no_tags_is_named(tmp_path: Path, track: Callable[..., Any]) -> None:
    other = tmp_path / "a.txt"
    other.write_text("no music")
    good = track("b.mp3")
    found = list(tags.changes([Song(other, "", "jazz", "confident"), good]))
    assert isinstance(found[0], genres.TagError)
    assert "a.txt: files of this kind have no tags" in str(found[0])
    assert isinstance(found[1], tags.Change)


def test_a_kill_amid_the_writing_leaves_the_song_and_its_old_genre(
    track: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = track("a.mp3")
    before = song.file.read_bytes()

    def killed(_: Path, partial: Path) -> None:
        partial.write_bytes(before[: len(before) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(difference, "difference", killed)
    planned = [change for change in tags.changes([song]) if isinstance(change, tags.Change)]
    with pytest.raises(KeyboardInterrupt):
        list(tags.apply(planned, tmp_path / "backup.jsonl"))
    assert song.file.read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} == {"a.mp3"}


def test_tags_are_written_only_on_request(
    track: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    song = track("a.mp3")
    write(song.file, ["Dub"])
    before = song.file.read_bytes()
    commands.write_tags([song], yes=False)
    assert song.file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [song.file]
    shown = capsys.readouterr().out
    assert f"{song.file}: genre Dub -> jazz" in shown
    assert "1 file would change. Nothing was written" in shown
    commands.write_tags([song], yes=True)
    assert genres.read(song.file) == ["jazz"]
    (backup,) = tmp_path.glob("genres-before-*.jsonl")
    assert f"soundtrack restore-tags {backup.name}" in capsys.readouterr().out
    assert list(tags.restore(backup)) == [song.file]
    assert genres.read(song.file) == ["Dub"]


def test_a_file_that_is_not_a_backup_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("one\ntwo\n")
    for name in ("list.txt", "gone.jsonl"):
        with pytest.raises(UserError, match="is not a backup of tags"):
            list(tags.restore(tmp_path / name))
