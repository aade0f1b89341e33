"""`soundtrack import`: all of the folder is imported and versioned with DVC; the folder itself is not changed."""

import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml
from dvc.repo import Repo

from pipeline.sources import SourceError
from pipeline.sources.folder import import_folder

MUSIC = Path("data/music")


@pytest.fixture
def repo(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkout as a repository of git and DVC."""
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    subprocess.run(["git", "init", "--quiet"], cwd=checkout, check=True)
    Repo.init(str(checkout)).close()
    return checkout


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


def test_a_folder_is_imported_and_replaced(repo: Path, collection: Path) -> None:
    before = state(collection)
    message = import_folder(collection, None)
    assert message.startswith("Imported 3 files with 2 labels (jazz, rock) as data/music")
    assert names(repo / MUSIC) == {"jazz/a.wav", "jazz/live/b.flac", "rock/a.wav"}
    assert (MUSIC / "jazz/live/b.flac").read_bytes() == (collection / "jazz/live/b.flac").read_bytes()
    first = yaml.safe_load(Path("data/music.dvc").read_text())["outs"][0]
    assert (first["path"], first["nfiles"]) == ("music", 3)
    assert state(collection) == before

    (collection / "jazz/a.wav").rename(collection / "jazz/z.wav")
    table = collection.parent / "artists.csv"
    table.write_text("id,artist,title\nz,Ella,x\nb,,y\nelsewhere,Bo,z\n")
    before = state(collection)
    import_folder(collection, table)
    assert names(repo / MUSIC) == {"jazz/z.wav", "jazz/live/b.flac", "rock/a.wav", "groups.csv"}
    groups = pd.read_csv(MUSIC / "groups.csv", keep_default_na=False)
    assert groups.to_dict("list") == {"path": ["jazz/live/b.flac", "jazz/z.wav"], "group": ["", "Ella"]}
    second = yaml.safe_load(Path("data/music.dvc").read_text())["outs"][0]
    assert second["md5"] != first["md5"]
    assert state(collection) == before
    assert [path.name for path in (repo / "data").glob(".*")] == [".gitignore"]


@pytest.mark.usefixtures("checkout")
def test_without_dvc_the_import_fails_with_a_message(collection: Path) -> None:
    with pytest.raises(SourceError, match="`dvc add data/music` failed"):
        import_folder(collection, None)


@pytest.mark.usefixtures("checkout")
def test_the_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="gone is not a folder"):
        import_folder(tmp_path / "gone", None)


def test_a_folder_without_labels_is_refused(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.wav").touch()
    with pytest.raises(SourceError, match="it needs one sub-folder of audio per label"):
        import_folder(tmp_path / "flat", None)
    assert not (checkout / "data").exists()


@pytest.mark.parametrize("folder", [".", "data", "data/music"])
def test_the_checkout_does_not_import_itself(checkout: Path, folder: str) -> None:
    (checkout / "data/music/jazz").mkdir(parents=True)
    (checkout / "data/music/jazz/a.wav").touch()
    with pytest.raises(SourceError, match="contains this checkout's own data/music"):
        import_folder(Path(folder), None)
    assert (checkout / "data/music/jazz/a.wav").exists()


def test_it_runs_in_a_checkout_only(collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=r"params\.yaml is not here"):
        import_folder(collection, None)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, r"artists\.csv"),
        ("path,singer\njazz/a.wav,Ella\n", "needs a column"),
        ("path,artist\nJAZZ/A.WAV,Ella\n", "names none of the files: its column `path` must be like jazz/a.wav"),
    ],
)
def test_unusable_groups_change_nothing(checkout: Path, collection: Path, table: str | None, message: str) -> None:
    old = checkout / MUSIC / "pop/old.wav"
    old.parent.mkdir(parents=True)
    old.write_text("old")
    groups = collection.parent / "artists.csv"
    if table is not None:
        groups.write_text(table)
    with pytest.raises(SourceError, match=message):
        import_folder(collection, groups)
    assert names(checkout / "data") == {"music/pop/old.wav"}


def test_files_that_cannot_be_copied_are_skipped_and_named(repo: Path, collection: Path) -> None:
    (collection / "jazz/broken.wav").symlink_to("gone.wav")
    (collection / "jazz/loop.wav").symlink_to("loop.wav")
    os.mkfifo(collection / "jazz/pipe.wav")
    message = import_folder(collection, None)
    assert "Skipped 3 files:" in message
    assert f"{collection}/jazz/broken.wav: No such file or directory" in message
    assert f"{collection}/jazz/loop.wav: Too many levels of symbolic links" in message
    assert f"{collection}/jazz/pipe.wav: not a regular file" in message
    assert names(repo / MUSIC) == {"jazz/a.wav", "jazz/live/b.flac", "rock/a.wav"}


def test_a_folder_of_broken_links_only_is_refused(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "music/jazz").mkdir(parents=True)
    (tmp_path / "music/jazz/broken.wav").symlink_to("gone.wav")
    with pytest.raises(SourceError, match=r"(?s)no file can be copied:.*broken\.wav: No such file"):
        import_folder(tmp_path / "music", None)
    assert names(checkout) == {"params.yaml"}
