"""`soundtrack import`: all of the folder is imported and versioned with DVC; the folder itself is not changed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import songs
import yaml
from documented import TERMINAL
from dvc.repo import Repo
from typed_import import Import

from pipeline.tracking import provenance

MUSIC = Path("data/music")


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Someone's music, in files of all modes."""
    folder = tmp_path / "my music"
    for name, mode in (("jazz/a.wav", 0o644), ("jazz/live/b.flac", 0o444), ("rock/a.wav", 0o600)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 50)
        (folder / name).chmod(mode)
    (folder / "rock" / ".DS_Store").write_bytes(b"hidden")
    (folder / "rock").chmod(0o750)
    return folder


def state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Mode, time and content of everything in a folder."""
    return {
        path.relative_to(folder).as_posix(): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in [folder, *folder.rglob("*")]
    }


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def version() -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load(Path("data/music.dvc").read_text())["outs"][0]
    return found


def test_a_folder_is_imported_and_replaced(repo: Path, collection: Path, soundtrack_import: Import) -> None:
    before = state(collection)
    done = soundtrack_import(collection, "--yes")
    assert done.code == 0
    assert "Imported 3 files with 2 labels (jazz, rock) as data/music" in done.text
    assert "This is the first version." in done.text
    assert names(repo / MUSIC) == {"jazz/a.wav", "jazz/live/b.flac", "rock/a.wav"}
    assert (MUSIC / "jazz/live/b.flac").read_bytes() == (collection / "jazz/live/b.flac").read_bytes()
    first = version()
    assert (first["path"], first["nfiles"]) == ("music", 3)
    assert state(collection) == before

    (collection / "jazz/a.wav").rename(collection / "jazz/z.wav")
    table = collection.parent / "artists.csv"
    table.write_text("id,artist,title\nz,Ella,x\nb,,y\nelsewhere,Bo,z\n")
    before = state(collection)
    assert soundtrack_import(collection, "--groups", table, "--yes").code == 0
    assert names(repo / MUSIC) == {"jazz/z.wav", "jazz/live/b.flac", "rock/a.wav", "groups.csv"}
    groups = pd.read_csv(MUSIC / "groups.csv", keep_default_na=False)
    assert groups.to_dict("list") == {"path": ["jazz/z.wav"], "group": ["Ella"]}
    table.write_text("id,artist\nz,Louis\nb,Bo\n")
    done = soundtrack_import(collection, "--groups", table, "--dry-run")
    assert "0 added, 0 relabelled, 0 removed, 3 unchanged; another group for 2 clips." in done.text
    (MUSIC / "groups.csv").write_bytes(b"\xff\xfe damaged")
    assert "another group for 2 clips" in soundtrack_import(collection, "--groups", table, "--dry-run").text
    assert version()["md5"] != first["md5"]
    assert state(collection) == before
    assert [path.name for path in (repo / "data").glob(".*")] == [".gitignore"]


def test_a_second_import_says_what_changed_by_content(repo: Path, collection: Path, soundtrack_import: Import) -> None:
    """Names decide nothing: a moved clip is the same, and a clip with the name of another one is another."""
    soundtrack_import(collection, "--yes")
    old = version()
    subprocess.run(["git", "add", "-A"], cwd=repo, check=True)
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *author, "commit", "--quiet", "-m", "first"], cwd=repo, check=True)
    (collection / "jazz/a.wav").rename(collection / "jazz/live/renamed.wav")
    (collection / "jazz/live/b.flac").rename(collection / "rock/b.flac")
    (collection / "rock/a.wav").write_bytes(b"another recording")
    (collection / "rock/new.wav").write_bytes(b"new")
    expected = "Against the last version: 2 added, 1 relabelled, 1 removed, 1 unchanged."
    assert expected in soundtrack_import(collection, "--dry-run").text
    done = soundtrack_import(collection, "--yes")
    assert expected in done.text
    assert "in no git commit" not in done.text
    assert names(repo / MUSIC) == {"jazz/live/renamed.wav", "rock/a.wav", "rock/b.flac", "rock/new.wav"}
    again = soundtrack_import(collection, "--yes")
    assert "0 added, 0 relabelled, 0 removed, 4 unchanged" in again.text
    assert "The last version is in no git commit. To keep it, commit data/music.dvc first." in again.text
    # the first version is in git and in DVC
    subprocess.run(["git", "checkout", "--quiet", "--", "data/music.dvc"], cwd=repo, check=True)
    assert version() == old
    with Repo(str(repo)) as dvc:
        dvc.checkout(force=True)
    assert names(repo / MUSIC) == {"jazz/a.wav", "jazz/live/b.flac", "rock/a.wav"}


def test_a_changed_tag_is_no_other_recording(repo: Path, tmp_path: Path, soundtrack_import: Import) -> None:
    """A genre written into the file changes its bytes, and not its sound."""
    suffixes = ("mp3", "flac", "m4a", "ogg", "opus", "wma", "aiff", "wav")
    for suffix in suffixes:
        songs.make(tmp_path / f"m/{suffix}/1.{suffix}", "Jazz", "Ella", seed=1)
        songs.make(tmp_path / f"m/{suffix}/2.{suffix}", "Rock", "Bo", seed=2)
    soundtrack_import(tmp_path / "m", "--labels", "tags", "--yes")
    for suffix in suffixes:
        songs.tag(tmp_path / f"m/{suffix}/1.{suffix}", ["Swing"], "Ella Fitzgerald")
    (tmp_path / "m/flac/2.flac").unlink()
    text = soundtrack_import(tmp_path / "m", "--labels", "tags", "--dry-run").text
    assert "0 added, 8 relabelled, 1 removed, 7 unchanged" in text
    assert names(repo / MUSIC)


@pytest.mark.usefixtures("repo")
def test_copies_are_counted_one_by_one(collection: Path, soundtrack_import: Import) -> None:
    (collection / "rock/copy.wav").write_bytes((collection / "rock/a.wav").read_bytes())
    soundtrack_import(collection, "--yes")
    (collection / "rock/copy.wav").rename(collection / "jazz/copy.wav")
    assert "0 added, 1 relabelled, 0 removed, 3 unchanged" in soundtrack_import(collection, "--dry-run").text
    (collection / "jazz/more.wav").write_bytes((collection / "rock/a.wav").read_bytes())
    assert "1 added, 1 relabelled, 0 removed, 3 unchanged" in soundtrack_import(collection, "--dry-run").text


def test_a_last_version_that_is_not_here_is_said(repo: Path, collection: Path, soundtrack_import: Import) -> None:
    soundtrack_import(collection, "--yes")
    (repo / MUSIC).rename(repo / "gone")
    assert (
        "last version, which is not here (`dvc checkout data/music.dvc`)"
        in soundtrack_import(collection, "--dry-run").text
    )


def test_a_cloud_versioned_remote_has_no_md5_of_the_folder(
    repo: Path, collection: Path, soundtrack_import: Import
) -> None:
    """DVC then lists the files in the .dvc file; the version in MLflow's tags is the same."""
    soundtrack_import(collection, "--yes")
    pointer = yaml.safe_load(Path("data/music.dvc").read_text())
    [out] = pointer["outs"]
    md5 = out.pop("md5")
    listing = repo / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    out["files"] = [
        {**file, "size": 1, "cloud": {"store": {"version_id": "x"}}} for file in json.loads(listing.read_text())
    ]
    Path("data/music.dvc").write_text(yaml.safe_dump(pointer))
    assert provenance.lineage("folder")["dvc.data/music"] == md5
    out["files"][0].pop("md5")
    Path("data/music.dvc").write_text(yaml.safe_dump(pointer))
    assert provenance.lineage("folder")["dvc.data/music"].endswith(".dir")


@pytest.mark.usefixtures("checkout")
def test_without_dvc_the_import_fails_with_a_message(collection: Path, soundtrack_import: Import) -> None:
    assert "`dvc add data/music` failed" in soundtrack_import(collection, "--yes").text


def test_the_folder_must_exist(tmp_path: Path, soundtrack_import: Import) -> None:
    assert "gone is not a folder" in soundtrack_import(tmp_path / "gone").text
    (tmp_path / "empty").mkdir()
    assert "empty has no music: 0 files" in soundtrack_import(tmp_path / "empty").text
    (tmp_path / "empty/cover.jpg").touch()
    done = soundtrack_import(tmp_path / "empty")
    assert (done.code, "empty has no music: 1 file, none of them audio" in done.text) == (1, True)


def test_a_folder_without_labels_is_refused(checkout: Path, tmp_path: Path, soundtrack_import: Import) -> None:
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.wav").touch()
    done = soundtrack_import(tmp_path / "flat", "--yes")
    assert "it needs one sub-folder of audio per label" in done.text
    assert done.code == 1
    assert not (checkout / "data").exists()


@pytest.mark.parametrize("folder", [".", "data", "data/music"])
def test_the_checkout_does_not_import_itself(checkout: Path, folder: str, soundtrack_import: Import) -> None:
    (checkout / "data/music/jazz").mkdir(parents=True)
    (checkout / "data/music/jazz/a.wav").touch()
    assert "contains this checkout's own data/music" in soundtrack_import(folder, "--yes").text
    assert (checkout / "data/music/jazz/a.wav").exists()


def test_it_runs_in_a_checkout_only(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soundtrack_import: Import
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "params.yaml is not here" in soundtrack_import(collection).text


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "artists.csv"),
        ("path,singer\njazz/a.wav,Ella\n", "needs a column"),
        ("path,artist\njazz/gone.wav,Ella\n", "names none of the files: its column `path` must be like jazz/a.wav"),
        ("path,artist\njazz/a.wav,Ella\n./jazz/a.wav,Bo\n", "more than one artist: 'Ella' (row 1), 'Bo' (row 2)"),
    ],
)
def test_unusable_groups_change_nothing(
    checkout: Path, collection: Path, table: str | None, message: str, soundtrack_import: Import
) -> None:
    old = checkout / MUSIC / "pop/old.wav"
    old.parent.mkdir(parents=True)
    old.write_text("old")
    groups = collection.parent / "artists.csv"
    if table is not None:
        groups.write_text(table)
    done = soundtrack_import(collection, "--groups", groups, "--yes")
    assert done.code == 1
    assert message in done.text
    assert names(checkout / "data") == {"music/pop/old.wav"}


def test_files_that_cannot_be_read_are_skipped_and_named(
    repo: Path, collection: Path, soundtrack_import: Import
) -> None:
    (collection / "jazz/broken.wav").symlink_to("gone.wav")
    (collection / "jazz/loop.wav").symlink_to("loop.wav")
    os.mkfifo(collection / "jazz/pipe.wav")
    done = soundtrack_import(collection, "--yes")
    assert "Not used, cannot be read: 3 files: " in done.text
    assert "jazz/broken.wav: No such file or directory" in done.text
    assert "jazz/loop.wav: Too many levels of symbolic links" in done.text
    assert "jazz/pipe.wav: not a regular file" in done.text
    assert names(repo / MUSIC) == {"jazz/a.wav", "jazz/live/b.flac", "rock/a.wav"}


def test_a_folder_of_broken_links_only_is_refused(checkout: Path, tmp_path: Path, soundtrack_import: Import) -> None:
    (tmp_path / "music/jazz").mkdir(parents=True)
    (tmp_path / "music/jazz/broken.wav").symlink_to("gone.wav")
    done = soundtrack_import(tmp_path / "music", "--yes")
    assert "no file can be read: jazz/broken.wav: No such file" in done.text
    assert names(checkout) == {"genres.yaml", "params.yaml"}


def test_a_dry_run_changes_nothing(repo: Path, collection: Path, soundtrack_import: Import) -> None:
    before = state(repo), state(collection)
    done = soundtrack_import(collection, "--dry-run", "--yes")
    assert done.code == 0
    assert "jazz          2" in done.text
    assert "Nothing was changed (--dry-run)." in done.text
    assert (state(repo), state(collection)) == before


def test_what_looks_wrong_needs_a_yes_where_nobody_can_be_asked(
    repo: Path, tmp_path: Path, soundtrack_import: Import
) -> None:
    for label in ("jazz", "rock"):
        for number in range(5):
            songs.make(tmp_path / f"music/{label}/{number}.wav")
    before = state(repo)
    songs.make(tmp_path / "music/Rock/0.wav")
    done = soundtrack_import(tmp_path / "music")
    assert done.code == 1
    assert "2 things looked wrong (see above); nothing was changed. --yes imports nevertheless" in done.text
    assert state(repo) == before
    (tmp_path / "music/Rock/0.wav").unlink()
    assert "Imported 10 files" in soundtrack_import(tmp_path / "music").text, "nothing looks wrong"


@pytest.mark.parametrize(("answer", "imported"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_at_a_terminal_the_user_is_asked(repo: Path, collection: Path, answer: str, imported: bool) -> None:
    command = [sys.executable, "-m", "pipeline.cli", "import", str(collection)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", TERMINAL, *command],
        input=answer,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        check=False,
    )
    assert "Import 3 clips as data/music? [y/N]" in done.stdout
    assert (done.returncode == 0) is imported
    assert (repo / MUSIC).exists() is imported
    assert ("nothing was changed" in done.stdout) is not imported
