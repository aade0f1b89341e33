"""``soundtrack suggest``: a table of proposed labels, corrected by a person, and brought up to date."""

import csv
import os
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import songs
import soundfile
from bundles import RATE

from pipeline import cli
from pipeline.serving import suggestions
from pipeline.tracking.registry import Registered

Say = Callable[..., str]
CAFE = unicodedata.normalize("NFD", "Café/c.wav")
"""As a Mac writes it."""


@pytest.fixture
def music(song: Callable[..., Path], tmp_path: Path) -> Path:
    """Three songs that the model knows, and one each that it does not know, that is broken, and that has an odd name."""
    folder = tmp_path / "music"
    for label, name, artist in (("low", "Ella/a, b.wav", "Ella"), ("high", CAFE, "+44"), ("middle", "d.wav", "")):
        songs.tag(song(label, f"music/{name}"), ["Rock"], artist)
    song("low", "music/=1+1.wav", seed=1)
    soundfile.write(folder / "noise.wav", np.random.default_rng(0).normal(0, 0.2, 2 * RATE), RATE)
    (folder / "junk.mp3").write_bytes(b"no music at all" * 100)
    (folder / "cover.jpg").touch()
    (folder / os.fsdecode(b"\xff.wav")).write_bytes((folder / "d.wav").read_bytes())
    return folder


@pytest.fixture
def suggest(
    checkout: Path, music: Path, model: Registered, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Say:
    """What the command says; the folder is as before."""

    def run(*options: str, folder: Path = music) -> str:
        before = {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in sorted(music.rglob("*"))}
        monkeypatch.setattr(sys, "argv", ["soundtrack", "suggest", str(folder), "--model", str(model.folder), *options])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in sorted(music.rglob("*"))} == before
        return capsys.readouterr().out + (f"{end.value.code}" if end.value.code else "")

    assert Path.cwd() == checkout
    return run


def table(file: str = "suggested.csv", separator: str = ",") -> dict[str, dict[str, str]]:
    with Path(file).open(encoding="utf-8-sig", newline="") as lines:
        return {row["path"]: row for row in csv.DictReader(lines, delimiter=separator)}


def test_every_song_gets_a_label_and_what_has_none_is_named(suggest: Say, music: Path) -> None:
    said = suggest()
    rows = table()
    assert {path: row["label"] for path, row in rows.items()} == {
        "Ella/a, b.wav": "low", CAFE: "high", "d.wav": "middle", "./=1+1.wav": "low", "noise.wav": "",
    }  # fmt: skip
    assert {path: row["artist"] for path, row in rows.items() if row["artist"]} == {
        "Ella/a, b.wav": "Ella", CAFE: " +44",
    }  # fmt: skip
    assert list(rows["d.wav"]) == list(suggestions.COLUMNS)
    for path, row in rows.items():
        assert row["folder"] == str(music)
        assert row["checked"] == ""
        assert row["suggested"] == row["label"]
        assert (row["verdict"] == "out-of-distribution") == (row["confidence"] == "") == (path == "noise.wav")
        assert row["confidence"] == "" or 0.3 < float(row["confidence"]) <= 1
    assert "Not in the table: junk.mp3: cannot be decoded" in said
    assert "Not in the table: \\udcff.wav: the name is not valid UTF-8: rename it" in said
    assert "suggested.csv: 5 songs (5 new)." in said
    assert "Labels: low 2, high 1, middle 1, none 1." in said or "Labels: low 2, middle 1, high 1, none 1." in said
    assert "(`make page`, tab Label)" in said
    assert said.endswith(f"Then: soundtrack import {music} --labels suggested.csv\n")


def test_what_a_person_did_stays_and_new_songs_are_added(suggest: Say, song: Callable[..., Path], music: Path) -> None:
    """A spreadsheet wrote the table: semicolons, no mark, a comma in numbers, other columns, other order of rows."""
    suggest("--table", "mine.csv")
    rows = table("mine.csv")
    rows[CAFE] |= {"label": "rock", "note": "live; 1970"}
    rows["d.wav"] |= {"checked": "x"}
    rows["Ella/a, b.wav"] |= {"artist": "Ella Fitzgerald", "note": "scratches"}
    rows["noise.wav"] |= {"label": "noise"}
    for row in rows.values():
        row["confidence"] = "0,123"
    with Path("mine.csv").open("w", encoding="utf-8", newline="") as lines:
        written = csv.DictWriter(lines, ["Note", *suggestions.COLUMNS], delimiter=";")
        written.writeheader()
        written.writerows({"Note": row.pop("note", ""), **row} for _, row in sorted(rows.items(), reverse=True))
    before = list(table("mine.csv", ";"))
    song("high", "music/new.wav", seed=7)
    (music / "noise.wav").unlink()
    (music / "=1+1.wav").unlink()

    said = suggest("--table", "mine.csv")
    found = table("mine.csv", ";")
    assert list(found) == [*(path for path in before if path != "./=1+1.wav"), "new.wav"]
    assert (found[CAFE]["label"], found[CAFE]["Note"]) == ("rock", "live; 1970")
    assert (found["d.wav"]["checked"], found["d.wav"]["confidence"]) == ("x", "0,123")
    assert (found["noise.wav"]["label"], found["noise.wav"]["confidence"]) == ("noise", "0,123")
    again = found["Ella/a, b.wav"]
    assert (again["artist"], again["Note"], again["label"]) == ("Ella Fitzgerald", "scratches", "low")
    assert float(again["confidence"]) > 0.3
    assert found["new.wav"]["label"] == "high"
    assert "mine.csv: 5 songs (1 new, 3 of yours kept as they are, 1 suggested again)." in said
    assert "Taken out, since they are not there any more or cannot be read: ./=1+1.wav." in said
    assert "`soundtrack page --labels mine.csv`, tab Label" in said


def test_another_table_is_not_overwritten(suggest: Say, music: Path, song: Callable[..., Path]) -> None:
    suggestions.write(
        Path("suggested.csv"), suggestions.COLUMNS, [["d.wav", "low", "low", "0.9", "", "confident", "", str(music)]]
    )
    song("low", "other/a.wav")
    for content, fault in (
        (None, f"suggested.csv is of {music}: give another file with --table (or, if"),
        ("file,label\na.wav,low\n", "it lacks `path` among its columns ['file', 'label']"),
        ("path,label,label\n", "has a column twice"),
        ("path,label\nJörg.wav,low\n", "not UTF-8: save it from the spreadsheet as CSV in UTF-8"),
        ("", "it lacks `path`, `label`"),
    ):
        if content is not None:
            Path("suggested.csv").write_text(content, encoding="cp1252")
        before = Path("suggested.csv").read_bytes()
        assert fault in suggest(folder=music.with_name("other"))
        assert Path("suggested.csv").read_bytes() == before
    assert "is a file: give the folder" in suggest("--table", "new.csv", folder=music / "d.wav")
    assert "Is a directory" in suggest("--table", ".")
    assert not Path("new.csv").exists()


def test_a_table_of_ones_own_is_completed(suggest: Say) -> None:
    Path("suggested.csv").write_text("path,label\nd.wav,polka\n\n")
    assert "suggested.csv: 5 songs (4 new, 1 of yours kept as they are)." in suggest()
    rows = table()
    assert (rows["d.wav"]["label"], rows["d.wav"]["suggested"], rows[CAFE]["label"]) == ("polka", "", "high")
    assert list(rows["d.wav"]) == list(suggestions.COLUMNS)
