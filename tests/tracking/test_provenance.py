"""What a run was made from, asked while DVC works."""

import threading
import time
from pathlib import Path

import pytest
import yaml
import zc.lockfile

from pipeline.base import paths
from pipeline.tracking import lineage


def test_dvc_lock_is_read_whole_while_dvc_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With jobs side by side one stage ends, and DVC writes dvc.lock in place, while another one begins."""
    monkeypatch.chdir(tmp_path)
    paths.DVC_BUSY.parent.mkdir(parents=True)
    outs = [{"path": f"features/{name}", "md5": name * 8} for name in "abcd"]
    whole = yaml.safe_dump({"stages": {"features": {"outs": outs}}})
    half, part_is_there = whole[: whole.index("features/c") - 2], threading.Event()

    def write() -> None:
        held = zc.lockfile.LockFile(str(paths.DVC_BUSY))  # as DVC does
        paths.LOCK.write_text(half)
        part_is_there.set()
        time.sleep(1)
        paths.LOCK.write_text(whole)
        held.close()

    writer = threading.Thread(target=write)
    writer.start()
    part_is_there.wait()
    tags = lineage("folder")
    writer.join()
    assert {tag: md5 for tag, md5 in tags.items() if tag.startswith("dvc.features")} == {
        f"dvc.{out['path']}": out["md5"] for out in outs
    }
    again = zc.lockfile.LockFile(str(paths.DVC_BUSY))  # it is given back
    again.close()


def test_dvc_lock_of_another_user_is_read_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.chdir(tmp_path)
    paths.DVC_BUSY.parent.mkdir(parents=True)
    paths.DVC_BUSY.touch()
    monkeypatch.setattr("filelock.FileLock.acquire", refused)
    paths.LOCK.write_text(yaml.safe_dump({"stages": {"features": {"outs": [{"path": "features/a", "md5": "a"}]}}}))
    assert lineage("folder")["dvc.features/a"] == "a"
