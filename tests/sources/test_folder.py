"""A person's own music: which files are clips of which label, and which of them belong together."""

import logging
from pathlib import Path

import pytest

from pipeline.config.project import Params
from pipeline.sources import Clip, SourceError
from pipeline.sources.folder import fetch, find


@pytest.fixture
def music(checkout: Path) -> Path:
    """``data/music`` of the checkout with two labels."""
    folder = checkout / "data" / "music"
    for name in (
        "jazz/a.wav",
        "jazz/live/1959/b.flac",
        "jazz/.hidden.wav",
        "jazz/.git/c.wav",
        "rock/a.wav",
        "rock/d.mp3",
        ".cache/rock/e.wav",
        "notes.txt",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def listed(settings: Params) -> dict[str, Clip]:
    clips = fetch(Path("unused"), Path("unused"), settings.data, 7)
    found = {clip.path.removeprefix("data/music/"): clip for clip in clips}
    assert len(found) == len(clips)
    return found


def test_files_at_any_depth_have_the_label_of_their_top_folder(music: Path, settings: Params) -> None:
    clips = listed(settings)
    assert {name: clip.label for name, clip in clips.items()} == {
        "jazz/a.wav": "jazz",
        "jazz/live/1959/b.flac": "jazz",
        "rock/a.wav": "rock",
        "rock/d.mp3": "rock",
    }
    assert all(Path(clip.path).is_file() for clip in clips.values())
    assert music == Path.cwd() / "data/music"


def test_stray_files_are_named_and_hidden_ones_are_not(music: Path, caplog: pytest.LogCaptureFixture) -> None:
    (music / ".DS_Store").touch()
    (music / "groups.csv").touch()
    with caplog.at_level(logging.WARNING):
        find(music)
    assert caplog.messages == ["not used (in no label's folder): notes.txt"]


@pytest.mark.usefixtures("music")
def test_without_a_table_every_file_is_its_own_group(settings: Params) -> None:
    assert {name: clip.group for name, clip in listed(settings).items()} == {
        name: name for name in ("jazz/a.wav", "jazz/live/1959/b.flac", "rock/a.wav", "rock/d.mp3")
    }


@pytest.mark.parametrize(
    "table",
    [
        "path,group\njazz/a.wav,Ella\njazz/live/1959/b.flac,Miles\nrock/d.mp3,\n",
        "title,path,artist\nx,jazz/a.wav,Ella\ny,jazz/live/1959/b.flac, Miles \nz,rock/d.mp3, \n",
        "path,group,artist\njazz/a.wav,Ella,x\njazz/live/1959/b.flac,Miles,x\n",
        "\ufeffpath,group\r\njazz/a.wav,Ella\r\njazz/live/1959/b.flac,Miles\r\n",
    ],
)
def test_groups_by_path(music: Path, settings: Params, table: str) -> None:
    (music / "groups.csv").write_text(table, encoding="utf-8", newline="")
    assert {name: clip.group for name, clip in listed(settings).items()} == {
        "jazz/a.wav": "Ella",
        "jazz/live/1959/b.flac": "Miles",
        "rock/a.wav": "unknown (rock)",
        "rock/d.mp3": "unknown (rock)",
    }


def test_groups_by_id(music: Path, settings: Params) -> None:
    (music / "groups.csv").write_text("id,artist,title\nb,NA,So What\nd,,\n")
    groups = {name: clip.group for name, clip in listed(settings).items()}
    assert groups["jazz/live/1959/b.flac"] == "NA", "a name, and not a missing value"
    assert groups["jazz/a.wav"] == "unknown (jazz)"
    assert groups["rock/a.wav"] == groups["rock/d.mp3"] == "unknown (rock)"


def test_joint_credits_join_their_artists(music: Path, settings: Params) -> None:
    rows = "path,artist\njazz/a.wav,Ella and Louis\njazz/live/1959/b.flac,Louis\nrock/d.mp3,Ella\n"
    (music / "groups.csv").write_text(rows)
    groups = {name: clip.group for name, clip in listed(settings).items()}
    assert groups["jazz/a.wav"] == groups["jazz/live/1959/b.flac"] == groups["rock/d.mp3"] == "Ella"


@pytest.mark.usefixtures("checkout")
def test_an_empty_folder_says_what_to_do(settings: Params) -> None:
    with pytest.raises(SourceError, match="run `soundtrack import FOLDER`"):
        listed(settings)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,singer\na.wav,Ella\n", r"needs a column `path` \(or `id`\) and a column `group` \(or `artist`\)"),
        (b"name;artist\na.wav;Ella\n", r"it has \['name', 'artist'\]"),
        (b"", "is not readable as CSV"),
        (b"path,group\n\xff\xfe,x\n", "is not readable as CSV"),
        (b'path,group\n"a.wav,x\n', "is not readable as CSV"),
    ],
)
def test_a_table_of_another_form_is_refused(music: Path, settings: Params, content: bytes, message: str) -> None:
    (music / "groups.csv").write_bytes(content)
    with pytest.raises(SourceError, match=message) as caught:
        listed(settings)
    assert "groups.csv" in str(caught.value)


def test_a_table_without_rows_makes_a_group_of_each_label(music: Path, settings: Params) -> None:
    """As `soundtrack import` leaves it where no artist is known."""
    (music / "groups.csv").write_text("path,group\n")
    assert {clip.group for clip in listed(settings).values()} == {"unknown (jazz)", "unknown (rock)"}


def test_an_id_of_two_files_is_named(music: Path, settings: Params, caplog: pytest.LogCaptureFixture) -> None:
    (music / "groups.csv").write_text("id,group\na,Ella\nb,Miles\n")
    groups = {name: clip.group for name, clip in listed(settings).items()}
    assert groups["jazz/a.wav"] == "unknown (jazz)"
    assert "none is taken: a (jazz/a.wav, rock/a.wav)" in caplog.text
