"""Another user, who may read the checkout and write nothing of it."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from checkouts import make_music, run

ROOT_MAY = "dac_override,dac_read_search,fowner"


@pytest.fixture
def other() -> list[str]:
    """What a command begins with that is to keep to the permissions of files, which root need not."""
    if os.geteuid():
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may write everything, and setpriv (util-linux) is not here")
    without = ",".join(f"-{name}" for name in ROOT_MAY.split(","))
    return ["setpriv", f"--bounding-set={without}", f"--inh-caps={without}"]


def read_only(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)


def test_who_may_write_neither_the_checkout_nor_their_home_can_classify(
    checkout: Path, other: list[str], tmp_path: Path
) -> None:
    make_music(tmp_path / "music", clips=1)
    soundtrack = [sys.executable, "-m", "pipeline.cli"]
    # its models are then in the copy, and not in the checkout that it was copied from
    (checkout / "mlflow.db").unlink()
    run(checkout, *soundtrack, "champion")
    shutil.rmtree(checkout / ".cache")
    home = tmp_path / "home"
    home.mkdir()
    for folder in (checkout, home):
        read_only(folder)
    refused = run(checkout, *other, "touch", "new", ok=False)
    assert "Permission denied" in refused
    for model in ([], ["--model", "candidate"]):
        command = [*other, *soundtrack, "classify", str(tmp_path / "music"), *model]
        output = run(checkout, *command, variables={"HOME": str(home), "XDG_CACHE_HOME": "", "TMPDIR": str(tmp_path)})
        assert "3 files: " in output
        assert "not read" not in output
    assert not (checkout / ".cache").exists()
    refused = run(checkout, *other, *soundtrack, "champion", ok=False, variables={"HOME": str(home)})
    assert "Traceback" not in refused
    assert "it has to be a file that you may write" in refused
