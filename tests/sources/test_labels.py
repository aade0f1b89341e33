"""`soundtrack import`: labels and groups from tags and tables, renamed, merged and dropped."""

import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import songs
from typed_import import Import

from pipeline import config
from pipeline.sources.folder import fetch
from pipeline.sources.importing import plan
from pipeline.sources.importing.plan import Wish

pytestmark = pytest.mark.usefixtures("checkout")

TAGGED = (
    *(".mp3", ".flac", ".ogg", ".oga", ".opus", ".wav", ".aiff"),
    *(".m4a", ".mp4", ".aac", ".wma", ".wv", ".mka", ".webm"),
)


def files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def labels(folder: Path, **wish: object) -> dict[str, str]:
    made = plan.make(folder, Wish(**wish))  # type: ignore[arg-type]
    return {file.as_posix(): label for file, label in made.labels.items()}


def groups(folder: Path, **wish: object) -> dict[str, str] | None:
    made = plan.make(folder, Wish(**wish))  # type: ignore[arg-type]
    return None if made.groups is None else {file.as_posix(): group for file, group in made.groups.items()}


@pytest.mark.parametrize("suffix", TAGGED)
def test_genre_and_artist_are_read_of_every_format(tmp_path: Path, suffix: str) -> None:
    songs.make(tmp_path / f"m/Ella/Live/1{suffix}", "Vocal Jazz", "Ella", "Ella Fitzgerald")
    songs.make(tmp_path / f"m/Hits/2{suffix}", "Rock", "Björk", "Various Artists")
    songs.make(tmp_path / f"m/Hits/3{suffix}", "Rock", "Bo")
    found = labels(tmp_path / "m", labels="tags")
    assert found == {f"Ella/Live/1{suffix}": "Vocal Jazz", f"Hits/2{suffix}": "Rock", f"Hits/3{suffix}": "Rock"}
    by = groups(tmp_path / "m", labels="tags")
    assert by == {f"Ella/Live/1{suffix}": "Ella Fitzgerald", f"Hits/2{suffix}": "Björk", f"Hits/3{suffix}": "Bo"}


def test_damaged_files_have_no_tags_and_stop_nothing(tmp_path: Path, soundtrack_import: Import) -> None:
    random = np.random.default_rng(1)
    for suffix in TAGGED:
        content = np.frombuffer(songs.make(tmp_path / f"m/good{suffix}", "Jazz", "Ella").read_bytes(), np.uint8)
        for number in range(20):
            damaged = content.copy()
            damaged[random.integers(0, 400, 8)] = random.integers(0, 256, 8)
            (tmp_path / f"m/{number}{suffix}").write_bytes(damaged[: random.integers(1, len(damaged))].tobytes())
    done = soundtrack_import(tmp_path / "m", "--labels", "tags", "--dry-run")
    assert done.code == 0
    assert "Jazz" in done.text


def test_a_library_of_fourteen_formats_is_planned_by_its_numbers(tmp_path: Path, soundtrack_import: Import) -> None:
    assert len(TAGGED) == 14
    for number in range(56):
        genre, artist = ("Jazz", "Rock")[number % 2], f"Artist {number % 8}"
        songs.make(tmp_path / f"m/{artist}/Album/{number}{TAGGED[number // 4]}", genre, artist, artist, seconds=0.05)
    songs.make(tmp_path / "m/Artist 1/Album/untagged.wav")
    (tmp_path / "m/Artist 1/Album/cover.jpg").touch()
    done = soundtrack_import(tmp_path / "m", "--labels", "tags", "--dry-run")
    assert done.text.splitlines()[3:7] == [
        "label     clips  artists",
        "Jazz         28        4",
        "Rock         28        4",
        "2 labels     56        8",
    ]
    assert "1 file: Artist 1/Album/untagged.wav." in done.text
    assert "Looks wrong" not in done.text


@pytest.mark.parametrize("suffix", [".mp3", ".m4a", ".flac", ".wma"])
def test_a_compilation_is_grouped_by_the_artists_of_its_tracks(tmp_path: Path, suffix: str) -> None:
    songs.make(tmp_path / f"m/1{suffix}", "Rock", "Bo", "Somebody's Choice", compilation=True)
    assert groups(tmp_path / "m", labels="tags") == {f"1{suffix}": "Bo"}


def test_of_several_genres_the_first_is_taken_and_said(tmp_path: Path, soundtrack_import: Import) -> None:
    songs.make(tmp_path / "m/1.mp3", ["Trip Hop", "Dub"], "A")
    songs.make(tmp_path / "m/2.flac", "Rock; Pop", "A")
    songs.make(tmp_path / "m/3.mp3", "17", "A")
    songs.make(tmp_path / "m/4.mp3", " R&B/Soul ", "A")
    assert labels(tmp_path / "m", labels="tags") == {
        "1.mp3": "Trip Hop",
        "2.flac": "Rock",
        "3.mp3": "Rock",
        "4.mp3": "R&B-Soul",
    }
    text = soundtrack_import(tmp_path / "m", "--labels", "tags", "--dry-run").text
    assert "2 files with several genres: the first is used." in text


def test_files_without_a_genre_are_named_and_those_without_an_artist_are_a_group(
    tmp_path: Path, repo: Path, soundtrack_import: Import
) -> None:
    for number in range(6):
        songs.make(tmp_path / f"m/rock {number}.flac", "Rock", f"Bo {number}" if number < 3 else "")
        songs.make(tmp_path / f"m/jazz {number}.flac", "Jazz", f"Ella {number}")
    songs.make(tmp_path / "m/untagged.wav")
    done = soundtrack_import(tmp_path / "m", "--labels", "tags")
    assert done.code == 0, done.text
    assert "Not used, no genre in the tags: 1 file: untagged.wav." in done.text
    assert "Rock          6        3               3" in done.text
    table = pd.read_csv(repo / "data/music/groups.csv", index_col="path")["group"]
    assert table["Jazz/jazz 1.flac"] == "Ella 1"
    assert len(table) == 9
    clips = {clip.path: clip.group for clip in fetch(Path(), Path(), config.load().data, 7)}
    assert clips["data/music/Rock/rock 4.flac"] == clips["data/music/Rock/rock 5.flac"] == "unknown (Rock)"


def test_without_a_genre_anywhere_the_other_command_is_named(tmp_path: Path, soundtrack_import: Import) -> None:
    files(tmp_path / "m", "jazz/a.wav", "jazz/b.mp3")
    done = soundtrack_import(tmp_path / "m", "--labels", "tags", "--yes")
    assert done.code == 1
    assert "none of the 2 files" in done.text
    assert f"`soundtrack import {tmp_path}/m --labels folders`" in done.text


def test_by_folders_artists_of_the_tags_are_groups_too(tmp_path: Path, soundtrack_import: Import) -> None:
    for number in range(4):
        songs.make(tmp_path / f"m/rock/{number}.flac", "", f"Bo {number // 2}")
    assert set((groups(tmp_path / "m") or {}).values()) == {"Bo 0", "Bo 1"}
    for number in range(5):
        songs.make(tmp_path / f"m/rock/{number}.wav")
    assert groups(tmp_path / "m") is None
    assert "Only 4 of 9 files have an artist in their tags" in soundtrack_import(tmp_path / "m", "--dry-run").text


def test_artists_that_are_credited_jointly_are_one_group(tmp_path: Path) -> None:
    for number, artist in enumerate(("Ella", "Ella & Louis", "Louis", "Bo")):
        songs.make(tmp_path / f"m/{number}.flac", "Jazz", artist)
    assert list((groups(tmp_path / "m", labels="tags") or {}).values()) == ["Ella", "Ella", "Ella", "Bo"]


NFD, NFC = (unicodedata.normalize(form, "Café/Björk.wav") for form in ("NFD", "NFC"))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (NFD, NFC),
        (NFC, NFD),
        ("jazz/a.wav", "./jazz/a.wav"),
        ("jazz/a.wav", "jazz\\a.wav"),
        ("jazz/a.wav", ".\\jazz\\a.wav"),
        ("jazz/a.wav", "Jazz/A.WAV"),
        ("jazz/a.wav", "C:\\Users\\me\\m\\jazz\\a.wav"),
        ("jazz/a.wav", "/home/me/m/jazz/a.wav"),
        ("jazz/a.wav", "m/jazz/a.wav"),
        ("jazz/a.wav", " jazz/a.wav "),
        ("jazz/live/a.wav", "a.wav"),
        ("jazz/live/a.wav", "live/a.wav"),
        ("jazz/a.mp3", "jazz/a.wav"),
        ("jazz/a.wav", "jazz/a"),
        ("a.wav", "m/a.wav"),
    ],
)
def test_a_path_is_matched_however_it_is_written(tmp_path: Path, file: str, text: str) -> None:
    files(tmp_path / "m", file, "rock/other.wav")
    (tmp_path / "t.csv").write_text(f"path,label\n{text},Swing\nrock/other.wav,Rock\n", encoding="utf-8")
    assert labels(tmp_path / "m", labels=str(tmp_path / "t.csv")) == {file: "Swing", "rock/other.wav": "Rock"}


@pytest.mark.parametrize(
    "text", ["pop/a.wav", "other/a.wav", "a.v2", "a.00001", "a.wav/b.wav", "b.wav", "aa.wav", "", "live/jazz/a.wav/x"]
)
def test_another_path_is_named_and_not_matched(tmp_path: Path, text: str, soundtrack_import: Import) -> None:
    files(tmp_path / "m", "jazz/a.wav", "rock/c.wav")
    (tmp_path / "t.csv").write_text(f"path,label\nrock/c.wav,Rock\n{text},Swing\n")
    done = soundtrack_import(tmp_path / "m", "--labels", tmp_path / "t.csv", "--dry-run")
    assert f"Rows of {tmp_path}/t.csv without a file: {text or '(blank)'} (row 2)." in done.text
    assert f"Not used, no label in {tmp_path}/t.csv: 1 file: jazz/a.wav." in done.text


def test_an_id_of_two_albums_is_named_and_given_to_neither(tmp_path: Path, soundtrack_import: Import) -> None:
    files(tmp_path / "m", "jazz/A/01.wav", "jazz/B/01.wav", "jazz/B/02.wav", "rock/03.wav")
    (tmp_path / "g.csv").write_text("id,artist\n01,Ella\n02,Louis\nrock/03,Bo\n")
    done = soundtrack_import(tmp_path / "m", "--groups", tmp_path / "g.csv", "--dry-run")
    assert "that several files match, so none is taken: 01 (jazz/A/01.wav, jazz/B/01.wav). Give `path`." in done.text
    found = groups(tmp_path / "m", groups=tmp_path / "g.csv")
    assert found == {"jazz/A/01.wav": "", "jazz/B/01.wav": "", "jazz/B/02.wav": "Louis", "rock/03.wav": "Bo"}
    (tmp_path / "g.csv").write_text("id,artist\nA/01,Ella\nB/01,Louis\n02,Louis\n03,Bo\n")
    found = groups(tmp_path / "m", groups=tmp_path / "g.csv")
    assert found == {"jazz/A/01.wav": "Ella", "jazz/B/01.wav": "Louis", "jazz/B/02.wav": "Louis", "rock/03.wav": "Bo"}


def test_a_path_is_of_one_file_where_an_id_is_of_two(tmp_path: Path, soundtrack_import: Import) -> None:
    files(tmp_path / "m", "01.wav", "B/01.wav")
    (tmp_path / "t.csv").write_text("path,label\n01.wav,Jazz\n")
    assert labels(tmp_path / "m", labels=str(tmp_path / "t.csv")) == {"01.wav": "Jazz"}
    (tmp_path / "t.csv").write_text("id,label\n01,Jazz\nB/01,Jazz\n")
    assert labels(tmp_path / "m", labels=str(tmp_path / "t.csv")) == {"B/01.wav": "Jazz"}
    text = soundtrack_import(tmp_path / "m", "--labels", tmp_path / "t.csv", "--dry-run").text
    assert "none is taken: 01 (01.wav, B/01.wav). Give `path`." in text


@pytest.mark.parametrize("option", ["--labels", "--groups"])
def test_how_many_rows_matched_is_said(tmp_path: Path, option: str, soundtrack_import: Import) -> None:
    files(tmp_path / "m", *(f"jazz/{number}.wav" for number in range(24)))
    rows = [f"jazz/{number}.wav" if number < 3 else f"x/{number}" for number in range(24)]
    text = "".join(f"{row},x\n" for row in rows)
    (tmp_path / "t.csv").write_text(f"path,{option.removeprefix('--').removesuffix('s')}\n{text}")
    done = soundtrack_import(tmp_path / "m", option, tmp_path / "t.csv")
    assert done.code == 1
    assert (
        f"Only 3 of 24 rows of {tmp_path}/t.csv matched a file: its column `path` should be like jazz/0.wav."
        in done.text
    )
    assert "x/3 (row 4), x/4 (row 5), x/5 (row 6), x/6 (row 7), x/7 (row 8) and 16 more." in done.text


def test_a_table_has_labels_and_artists(tmp_path: Path, repo: Path, soundtrack_import: Import) -> None:
    """Also with semicolons, as a spreadsheet writes it."""
    files(tmp_path / "m", *(f"{number:03d}.wav" for number in range(12)))
    lines = [f"{number:03d};{'Jazz' if number < 6 else 'Rock'};Artist {number // 2}" for number in range(12)]
    (tmp_path / "t.csv").write_text("\ufeffID; Genre ;Artist\r\n" + "\r\n".join(lines), encoding="utf-8", newline="")
    done = soundtrack_import(tmp_path / "m", "--labels", tmp_path / "t.csv")
    assert done.code == 0, done.text
    assert f"12 of 12 rows of {tmp_path}/t.csv matched a file." in done.text
    found = sorted(file.relative_to(repo / "data/music").as_posix() for file in (repo / "data/music").rglob("*.wav"))
    assert found == [f"{'Jazz' if number < 6 else 'Rock'}/{number:03d}.wav" for number in range(12)]
    assert pd.read_csv(repo / "data/music/groups.csv")["group"].nunique() == 6


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            "path,singer\nx,y\n",
            "needs a column `path` (or `id`) and a column `label` (or `genre`), it has ['path', 'singer']",
        ),
        (
            "path,label\njazz/a.wav,Jazz\njazz\\a.wav,Rock\n",
            "gives jazz/a.wav more than one label: 'Jazz' (row 1), 'Rock' (row 2)",
        ),
        ("path,label,Label\njazz/a.wav,Jazz,Rock\n", "has a column twice: ['path', 'label', 'label']"),
        ("path,label\njazz/a.wav,\n", "has no labels: its column is empty"),
        ("path,label\nx,Jazz\n", "names none of the files: its column `path` must be like jazz/a.wav"),
        ("id,label\nx,Jazz\n", "names none of the files: its column `id` must be like a"),
        ("", "is not readable as CSV"),
        ('path,label\n"a,b\n', "is not readable as CSV"),
        (None, "there is no file"),
    ],
)
def test_an_unusable_table_is_refused_in_words(
    tmp_path: Path, table: str | None, message: str, soundtrack_import: Import
) -> None:
    files(tmp_path / "m", "jazz/a.wav")
    if table is not None:
        (tmp_path / "t.csv").write_text(table)
    done = soundtrack_import(tmp_path / "m", "--labels", tmp_path / "t.csv", "--yes")
    assert done.code == 1
    assert message in done.text


def test_a_picture_in_place_of_a_table_is_refused_in_words(tmp_path: Path, soundtrack_import: Import) -> None:
    files(tmp_path / "m", "jazz/a.wav")
    (tmp_path / "t.csv").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    assert "is not readable as CSV" in soundtrack_import(tmp_path / "m", "--labels", tmp_path / "t.csv").text
    assert "is not readable as CSV" in soundtrack_import(tmp_path / "m", "--map", tmp_path / "t.csv").text


@pytest.fixture
def spelled(tmp_path: Path) -> Path:
    """Three spellings, three and two clips of two, and two forms of one name."""
    cafe = [unicodedata.normalize(form, "Café") for form in ("NFC", "NFD")]
    names = [f"{label}/{number}.wav" for label in ("Hip-Hop", "hip hop", *cafe) for number in range(3)]
    return files(tmp_path / "m", *names, "HipHop /0.wav", "Rock/0.wav", "Old-Time/0.wav")


def test_labels_are_merged_and_dropped_by_a_table(spelled: Path, tmp_path: Path, soundtrack_import: Import) -> None:
    (tmp_path / "map.csv").write_text("from,to\nhip hop,Rap\nROCK,\nPolka,Folk\nOld Time,Old-Time / Historic\n")
    found = labels(spelled, map=tmp_path / "map.csv")
    assert found["hip hop/0.wav"] == "Rap"
    assert found["Hip-Hop/0.wav"] == "Hip-Hop"
    assert found["Old-Time/0.wav"] == "Old-Time - Historic"
    assert "Rock/0.wav" not in found
    text = soundtrack_import(spelled, "--map", tmp_path / "map.csv", "--dry-run").text
    assert f"Dropped by {tmp_path}/map.csv: Rock (1 clip)." in text
    assert f"Rows of {tmp_path}/map.csv without a label: Polka." in text


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("old,new\na,b\n", "needs the columns `from` and `to`, it has ['old', 'new']"),
        ("from,to\nRock,A\nrock,B\n", "gives 'Rock' two names: 'A' and 'B'"),
        (None, "is not readable as CSV"),
        ("from,to\nRock,\nHip-Hop,\nhip hop,\nHipHop,\nCafé,\nOld-Time,\n", "drops every label"),
    ],
)
def test_an_unusable_map_is_refused_in_words(
    spelled: Path, tmp_path: Path, table: str | None, message: str, soundtrack_import: Import
) -> None:
    if table is not None:
        (tmp_path / "map.csv").write_text(table, encoding="utf-8")
    assert message in soundtrack_import(spelled, "--map", tmp_path / "map.csv", "--yes").text


def test_spellings_are_proposed_as_one_and_merged_when_told_to(spelled: Path, soundtrack_import: Import) -> None:
    text = soundtrack_import(spelled, "--dry-run").text
    assert (
        "Labels that differ in spelling alone: 'Hip-Hop' (3), 'hip hop' (3), 'HipHop ' (1). To make them one:" in text
    )
    assert "--merge-spellings" in text
    assert "'Caf\\xe9' (3)" in text, "two that look the same are told apart"
    assert set(labels(spelled).values()) == {path.name for path in spelled.iterdir()}
    made = plan.make(spelled, Wish(merge_spellings=True))
    assert set(made.labels.values()) == {
        "Hip-Hop",
        "Rock",
        "Old-Time",
        *({"Café"} | {NFD.split("/")[0]}) & set(made.labels.values()),
    }
    assert len(set(made.labels.values())) == 4
    places = made.places
    assert len(set(places.values())) == len(places) == 15
    assert places[Path("hip hop/0.wav")] == Path("Hip-Hop/hip hop/0.wav")
    assert places[Path("Hip-Hop/0.wav")] == Path("Hip-Hop/0.wav")
    merged = soundtrack_import(spelled, "--merge-spellings", "--dry-run").text
    assert "Merged as Hip-Hop: 'hip hop', 'HipHop '." in merged
    assert "differ in spelling" not in merged


def test_small_labels_are_dropped_and_named(spelled: Path, soundtrack_import: Import) -> None:
    text = soundtrack_import(spelled, "--min-clips", 3, "--dry-run").text
    assert "Dropped, since they have fewer than 3 clips: HipHop  (1), Old-Time (1), Rock (1)." in text
    assert set(labels(spelled, min_clips=3).values()) == {
        path.name for path in spelled.iterdir() if len(list(path.iterdir())) == 3
    }
    done = soundtrack_import(spelled, "--min-clips", 30)
    assert (done.code, "no label has 30 clips" in done.text) == (1, True)


def test_no_place_is_given_twice(tmp_path: Path) -> None:
    names = ("x/Rock/a.wav", "Rock/a.wav", "y/Rock/a.wav", "Rock/x/Rock/a.wav")
    files(tmp_path / "m", *names)
    (tmp_path / "t.csv").write_text("path,label\n" + "".join(f"{name},Rock\n" for name in names))
    places = plan.make(tmp_path / "m", Wish(labels=str(tmp_path / "t.csv"))).places
    assert places[Path("Rock/a.wav")] == Path("Rock/a.wav")
    assert len(set(places.values())) == 4


def test_a_label_is_a_folders_name(tmp_path: Path) -> None:
    songs.make(tmp_path / "m/1.flac", "../../etc", "A")
    songs.make(tmp_path / "m/2.flac", ".hidden", "A")
    songs.make(tmp_path / "m/3.flac", "é" * 300, "A")
    found = labels(tmp_path / "m", labels="tags")
    assert found == {"1.flac": "_..-..-etc", "2.flac": "_.hidden", "3.flac": "é" * 100}


def test_a_credit_of_a_song_that_is_not_here_joins_its_artists(tmp_path: Path) -> None:
    """A table of a whole collection, of which the folder has a part."""
    files(tmp_path / "m", "rock/a.wav", "pop/b.wav", "pop/c.wav")
    (tmp_path / "artists.csv").write_text("id,artist\na,Ella\nb,Bo\nc,Cy\nd,Bo and Ella\n")
    found = groups(tmp_path / "m", groups=tmp_path / "artists.csv")
    assert found is not None
    assert found["rock/a.wav"] == found["pop/b.wav"] != found["pop/c.wav"]


SUGGESTED = """\
path,label,suggested,confidence,artist,verdict,checked,folder,note
00.wav,,,,{0},out-of-distribution,,/m,mine
01.wav,,Polka,0.500,{0},uncertain,yes,/m,
02.wav,Jazz,Polka,0.500,{1},confident,,/m,
03.wav,Rock,Polka,0.500,{1},confident,,/m,
04.wav,Jazz,Jazz,0.500,{2},confident,x,/m,
05.wav,Rock,Rock,0.500,{2},confident,No,/m,
06.wav,Jazz,Jazz,0.500,{3},confident,,/m,
07.wav,Rock,Rock,0.500,{3},confident,,/m,
"""
"""Two songs without a label, two that were corrected, one that was checked, and three that are as the model said."""


def suggested(folder: Path, *artists: str) -> Path:
    files(folder, *(f"{number:02}.wav" for number in range(8)))
    table = folder.with_name("suggested.csv")
    table.write_text("\ufeff" + SUGGESTED.format(*artists), encoding="utf-8")
    return table


def test_a_table_of_suggestions_is_imported_as_it_is(tmp_path: Path, soundtrack_import: Import) -> None:
    table = suggested(tmp_path / "m", "Ella", "Louis", "Bo", "Cy")
    found = labels(tmp_path / "m", labels=str(table))
    assert found == {f"{number:02}.wav": ("Jazz", "Rock")[number % 2] for number in range(2, 8)}
    by = list((groups(tmp_path / "m", labels=str(table)) or {}).values())
    assert by == ["Louis", "Louis", "Bo", "Bo", "Cy", "Cy"]
    text = soundtrack_import(tmp_path / "m", "--labels", table, "--dry-run").text
    assert f"Not used, no label in {table}: 2 files: 00.wav, 01.wav." in text
    assert "Suggestions of a model that nobody has checked: 3 of 6 labels." in text
    assert "single artist" not in text


@pytest.mark.parametrize(("known", "said"), [("", ""), ("Ella", "not used: only 2 of 6 files have one there")])
def test_songs_whose_artists_are_not_known_are_not_one_group(
    known: str, said: str, tmp_path: Path, soundtrack_import: Import
) -> None:
    """As where labels are of folders: one group for each label could not be split."""
    table = suggested(tmp_path / "m", "", "", "", known)
    assert groups(tmp_path / "m", labels=str(table)) is None
    text = soundtrack_import(tmp_path / "m", "--labels", table, "--dry-run").text
    assert "No artists known: each file is a group of its own" in text
    assert said in text
    assert "single artist" not in text
