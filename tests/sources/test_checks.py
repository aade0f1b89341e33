"""`soundtrack import`: what looks wrong is said, with the command that would be right, and nothing is trained in silence."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest
import songs
from checkouts import edit_params
from running import download, split
from typed_import import Import

from pipeline.data import clips as clip_table
from pipeline.data import split as splitting
from pipeline.data.split import SplitError
from pipeline.reports.data_report import DataSet, common

pytestmark = pytest.mark.usefixtures("checkout")


def clips(folder: Path, labels: Mapping[str, int]) -> Path:
    for label, count in labels.items():
        for number in range(count):
            file = folder / label / f"{number}.wav"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(f"{label} {number}".encode())
    return folder


def artists(table: Path, rows: Mapping[str, str], column: str = "artist") -> Path:
    lines = [f'{path},"{artist}"' for path, artist in rows.items()]
    table.write_text("\n".join([f"path,{column}", *lines]), encoding="utf-8")
    return table


def wrong(text: str) -> list[str]:
    return [
        line.removeprefix("- ") for line in text.partition("Looks wrong:\n")[2].splitlines() if line.startswith("- ")
    ]


def test_a_good_folder_has_no_warning(tmp_path: Path, soundtrack_import: Import) -> None:
    folder = clips(tmp_path / "m", {"jazz": 6, "rock": 5})
    (folder / "jazz/cover.jpg").touch()
    (folder / "jazz/notes.txt").touch()
    (folder / "stray.wav").touch()
    text = soundtrack_import(folder, "--dry-run").text
    assert "Looks wrong" not in text
    assert "Not used, no audio by their names: 2 files (1 .jpg, 1 .txt)." in text
    assert "Not used, in no label's folder: 1 file: stray.wav." in text
    assert "No artists known: each file is a group of its own" in text
    assert text.splitlines()[2:6] == ["label     clips", "jazz          6", "rock          5", "2 labels     11"]


def test_an_artists_library_is_not_trained_without_a_word(
    tmp_path: Path, repo: Path, soundtrack_import: Import
) -> None:
    """Artist/Album/song: the tags' artist is the name of the folder."""
    for artist, genre in (("Ella Fitzgerald", "Jazz"), ("Louis Armstrong", "Jazz"), ("Björk", "Pop")):
        for number in range(5):
            songs.make(tmp_path / f"m/{artist}/Album/{number}.flac", genre, artist)
    done = soundtrack_import(tmp_path / "m")
    assert done.code == 1
    assert not (repo / "data/music").exists()
    right = f"`soundtrack import {tmp_path}/m --labels tags`"
    assert wrong(done.text)[0] == (
        "Labels that are artists, by the files' tags: Björk, Ella Fitzgerald, Louis Armstrong. "
        f"The files' tags have genres: {right}"
    )
    text = soundtrack_import(tmp_path / "m", "--labels", "tags", "--dry-run").text
    assert "Jazz         10        2" in text
    assert not [line for line in wrong(text) if "that are artists" in line]


def test_a_folder_for_each_album_is_no_label_either(tmp_path: Path, soundtrack_import: Import) -> None:
    for album in ("Ella Fitzgerald - Live", "Louis Armstrong - Hot Five"):
        for number in range(5):
            songs.make(tmp_path / f"m/{album}/{number}.flac", "Jazz", album.split(" - ")[0])
    [line, *_] = wrong(soundtrack_import(tmp_path / "m").text)
    assert line.startswith("Labels that are artists, by the files' tags: Ella Fitzgerald - Live, Louis Armstrong")


def test_numbers_as_labels(tmp_path: Path, soundtrack_import: Import) -> None:
    folder = clips(tmp_path / "m", {"1": 5, "2": 5})
    cure = f"If a table has the labels: `soundtrack import {folder} --labels TABLE.csv`"
    assert wrong(soundtrack_import(folder).text) == [f"Labels that are numbers: 1, 2. {cure}"]
    (folder / "list.csv").write_text("id,genre\n0,Jazz\n")
    cure = f"{folder}/list.csv has labels: `soundtrack import {folder} --labels {folder}/list.csv`"
    assert wrong(soundtrack_import(folder).text) == [f"Labels that are numbers: 1, 2. {cure}"]


def test_parts_of_a_split_as_labels(tmp_path: Path, soundtrack_import: Import) -> None:
    folder = clips(tmp_path / "my music", {"train/jazz": 6, "train/rock": 6, "Test/jazz": 5, "Test/rock": 5})
    [line] = wrong(soundtrack_import(folder).text)
    right = f"`soundtrack import '{folder}/train'`"
    assert line == f"Labels that are parts of a split: Test, train. The pipeline makes its own split: {right}"
    assert wrong(soundtrack_import(folder / "train").text) == []


def test_a_folder_too_high(tmp_path: Path, soundtrack_import: Import) -> None:
    folder = clips(tmp_path / "m", {"genres/jazz": 6, "genres/rock": 6})
    [line] = wrong(soundtrack_import(folder).text)
    assert line.startswith("All clips are in one folder, genres. If its sub-folders (jazz, rock) are labels: ")
    assert f"`soundtrack import {folder}/genres`" in line
    [line] = wrong(soundtrack_import(clips(tmp_path / "one", {"jazz": 6})).text)
    assert line == "There is one label, jazz; a classifier needs two."


def test_flat_files_with_genres_in_their_tags(tmp_path: Path, soundtrack_import: Import) -> None:
    songs.make(tmp_path / "m/a.flac", "Jazz", "Ella")
    text = soundtrack_import(tmp_path / "m").text
    assert (
        f"it needs one sub-folder of audio per label. The files' tags have genres: `soundtrack import {tmp_path}/m --labels tags`"
        in text
    )


def test_a_folder_too_low(tmp_path: Path, soundtrack_import: Import) -> None:
    folder = clips(tmp_path / "m", {"jazz": 6, "rock": 6})
    text = soundtrack_import(folder / "jazz").text
    assert f"If it is one label of several: `soundtrack import {folder}`" in text


def test_labels_with_fewer_clips_than_the_audit_accepts(tmp_path: Path, soundtrack_import: Import) -> None:
    folder = clips(tmp_path / "m", {"jazz": 6, "rock": 5, "pop": 4})
    [line] = wrong(soundtrack_import(folder).text)
    assert line == "Labels with fewer clips than audit.min_clips, 5: pop (4). To drop them: --min-clips 5"
    assert wrong(soundtrack_import(folder, "--min-clips", 5, "--dry-run").text) == []


def test_an_artist_with_forty_percent_of_a_label(tmp_path: Path, soundtrack_import: Import) -> None:
    folder = clips(tmp_path / "m", {"jazz": 10, "rock": 10})
    names = {f"jazz/{number}.wav": f"A{number}" if number > 3 else "Ella" for number in range(10)}
    names |= {f"rock/{number}.wav": f"B{number}" if number > 2 else "Bo" for number in range(10)}
    [line] = wrong(soundtrack_import(folder, "--groups", artists(tmp_path / "a.csv", names)).text)
    assert (
        line
        == "One artist or group with 40% of a label, which a model may learn instead: Ella has 4 of 10 clips of jazz."
    )


@pytest.mark.parametrize("name", ["Various Artists", "various  artists", "VA", "Various"])
def test_various_artists_are_no_artist(tmp_path: Path, name: str, soundtrack_import: Import) -> None:
    folder = clips(tmp_path / "m", {"jazz": 6, "rock": 6})
    names = {f"{label}/{number}.wav": f"{label} {number}" for label in ("jazz", "rock") for number in range(6)}
    names |= {f"{label}/{number}.wav": name for label in ("jazz", "rock") for number in range(2)}
    text = soundtrack_import(folder, "--groups", artists(tmp_path / "a.csv", names)).text
    assert wrong(text) == [
        f"4 clips by {name!r}, which is no artist: taken as unknown. A table can name them: --groups CSV"
    ]
    assert "jazz          6        4               2" in text


def test_groups_that_join_half_the_data(tmp_path: Path, soundtrack_import: Import) -> None:
    """By a chain of joint credits."""
    folder = clips(tmp_path / "m", {"jazz": 8, "rock": 8})
    chain = ("A", "A & B", "B", "B feat. C", "C", "C and D", "D", "E")
    names = {f"jazz/{number}.wav": name for number, name in enumerate(chain)}
    names |= {f"rock/{number}.wav": "A with D" if number == 0 else f"R{number}" for number in range(8)}
    lines = wrong(soundtrack_import(folder, "--groups", artists(tmp_path / "a.csv", names)).text)
    joined = next(line for line in lines if line.startswith("One group"))
    assert joined.startswith(
        "One group, A, has 8 of 16 clips, joined by the credits 'B feat. C', 'A with D', 'C and D', 'A & B', 'B' and"
    )
    assert "a column `group` in place of `artist` is taken as it is" in joined
    lines = wrong(soundtrack_import(folder, "--groups", artists(tmp_path / "a.csv", names, "group")).text)
    assert lines == []


def test_a_group_that_joint_credits_joined_to_most_of_a_label_is_named_with_them_everywhere(
    tmp_path: Path, repo: Path, soundtrack_import: Import, caplog: pytest.LogCaptureFixture
) -> None:
    folder = clips(tmp_path / "m", {"jazz": 8, "pop": 8, "rock": 8})
    chain = ("A", "A & B", "B", "B feat. C", "C", "X", "Y", "Z")
    names = {f"jazz/{number}.wav": name for number, name in enumerate(chain)}
    names |= {f"{label}/{number}.wav": f"{label} {number}" for label in ("pop", "rock") for number in range(8)}
    text = soundtrack_import(folder, "--groups", artists(tmp_path / "a.csv", names), "--yes").text
    [line] = wrong(text)
    assert "A has 5 of 8 clips of jazz, joined by the credits 'B feat. C', 'A & B', 'B', 'C'" in line
    assert "a column `group` in place of `artist` is taken as it is" in line
    said = "'A' has 5 of 8 clips of 'jazz', joined by the credits 'B feat. C', 'A & B', 'B', 'C'"
    edit_params(repo, lambda content: content["data"].update(source="folder"))
    download()
    listed = pd.read_csv("data/audio/files.csv", keep_default_na=False)
    about = {"duration_s": 1.0, "sample_rate": 22050, "status": "ok", "reason": ""}
    table = listed.assign(**about, clip_id=listed["path"], sha256=listed["path"])
    clip_table.write(table)
    split()
    assert said in caplog.text
    parted = DataSet(clip_table.read(), splitting.read(), pd.DataFrame({"labels_differ": []}), "grouped")
    assert f"{said}." in common(parted, "clip")["warnings"]
    clip_table.write(table[~table["clip_id"].str.contains(r"jazz/[56]\.wav")])
    with pytest.raises(SplitError, match=r"too few groups .*; 'A' has 5 of 6 clips of 'jazz', joined by the credits"):
        split()


def test_one_group_in_a_label(tmp_path: Path, soundtrack_import: Import) -> None:
    folder = clips(tmp_path / "m", {"jazz": 6, "rock": 6, "pop": 6})
    names = {f"jazz/{number}.wav": "Ella" for number in range(6)}
    names |= {f"rock/{number}.wav": f"Bo {number}" for number in range(6)}
    [line] = wrong(soundtrack_import(folder, "--groups", artists(tmp_path / "a.csv", names)).text)
    assert line.startswith("Labels with a single artist or group, which cannot be in all parts of a split: ")
    assert "jazz (Ella), pop (unknown)" in line


def test_the_plan_of_hundreds_of_labels_fits_a_screen(tmp_path: Path, soundtrack_import: Import) -> None:
    folder = clips(tmp_path / "m", {f"l{number}": 5 + number % 3 for number in range(90)})
    text = soundtrack_import(folder, "--dry-run").text
    assert len(text.splitlines()) < 60
    assert "90 labels" in text
