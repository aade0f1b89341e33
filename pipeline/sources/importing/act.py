"""Do what the plan says: copy the clips, write their groups, and give them to DVC."""

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from pipeline.base import paths
from pipeline.base.files import atomic_write
from pipeline.data.groups import other
from pipeline.sources import SourceError
from pipeline.sources.importing.files import GROUPS
from pipeline.sources.importing.plan import Plan


def act(plan: Plan) -> list[str]:
    """Replace ``data/music`` and ``dvc add`` it. The folder itself is not changed.

    Returns:
        Why files could not be copied.

    Raises:
        SourceError: none could, the disk is full, or DVC failed.
    """
    with atomic_write(paths.MUSIC) as staging:
        files = tqdm(plan.places.items(), "copy", unit="file", disable=None, leave=False)
        failed = [why for file, target in files if (why := _copy(plan.folder / file, staging / target))]
        if len(failed) == len(plan.places):
            raise SourceError("no file can be copied:\n  " + "\n  ".join(failed))
        if plan.groups is not None:
            rows = sorted(
                (plan.places[file].as_posix(), group, other(plan.credits.get(file, ""), group))
                for file, group in plan.groups.items()
                if group
            )
            table = pd.DataFrame(rows, columns=["path", "group", "credit"])
            table.drop(columns=[] if table["credit"].any() else "credit").to_csv(staging / GROUPS, index=False)
    if subprocess.run([sys.executable, "-m", "dvc", "add", str(paths.MUSIC)], check=False).returncode:
        raise SourceError(f"`dvc add {paths.MUSIC}` failed; its message is above")
    return failed


def _copy(source: Path, target: Path) -> str:
    """A copy-on-write link, else a copy. No hard link: DVC makes cached files read-only, and so the source.

    Returns:
        Why the file cannot be copied; empty if it was.
    """
    from dvc_objects.fs.system import reflink

    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        reflink(str(source), str(target))
    except OSError:
        target.unlink(missing_ok=True)
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            target.unlink(missing_ok=True)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise SourceError(f"the disk is full: {source} cannot be copied") from None
            return f"{source}: {error.strerror}"
    return ""
