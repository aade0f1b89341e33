"""Outputs appear whole or not at all."""

from pathlib import Path

import pytest

from pipeline.base.files import atomic_write, read_json, remove, write_json


class Stopped(Exception):
    pass


def below(folder: Path) -> dict[str, str]:
    return {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_a_file_takes_the_old_ones_place(tmp_path: Path) -> None:
    target = tmp_path / "sub" / "out.txt"
    for text in ("old", "new"):
        with atomic_write(target) as partial:
            partial.write_text(text)
            assert not target.exists() or target.read_text() == "old"
    assert below(tmp_path) == {"sub/out.txt": "new"}


def test_a_folder_takes_the_old_ones_place(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for name in ("old", "new"):
        with atomic_write(target) as partial:
            partial.mkdir()
            (partial / name).write_text(name)
            assert not target.exists() or below(target) == {"old": "old"}
    assert below(tmp_path) == {"out/new": "new"}


@pytest.mark.parametrize("before", [True, False])
def test_a_failed_file_changes_nothing(tmp_path: Path, before: bool) -> None:
    target = tmp_path / "out.txt"
    if before:
        target.write_text("old")
    with pytest.raises(Stopped), atomic_write(target) as partial:
        partial.write_text("half")
        raise Stopped
    assert below(tmp_path) == ({"out.txt": "old"} if before else {})


@pytest.mark.parametrize("before", [True, False])
def test_a_failed_folder_changes_nothing(tmp_path: Path, before: bool) -> None:
    target = tmp_path / "out"
    if before:
        target.mkdir()
        (target / "a").write_text("old")
    with pytest.raises(Stopped), atomic_write(target) as partial:
        partial.mkdir()
        (partial / "a").write_text("half")
        raise Stopped
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if before else [])
    assert below(tmp_path) == ({"out/a": "old"} if before else {})


def test_what_a_killed_run_left_is_not_built_upon(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(Stopped), atomic_write(target) as leftover:
        raise Stopped
    leftover.mkdir()
    (leftover / "half").write_text("of a killed run")
    with atomic_write(target) as partial:
        partial.mkdir()
        (partial / "a").write_text("new")
    assert below(tmp_path) == {"out/a": "new"}


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    link = tmp_path / "link"
    link.symlink_to(folder, target_is_directory=True)
    remove(link)
    remove(tmp_path / "nothing")
    assert folder.is_dir()
    assert not link.is_symlink()


def test_json_comes_back(tmp_path: Path) -> None:
    content = {"name": "Dvořák <1841>", "sizes": [1, 2.5, None]}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content
    assert "Dvořák" in (tmp_path / "a.json").read_text(encoding="utf-8")
