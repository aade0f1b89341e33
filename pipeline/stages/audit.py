"""Decode every clip once, and reject bad ones with a reason."""

import logging

import pandas as pd

from pipeline import params, paths
from pipeline.data import audit as auditing
from pipeline.data import clips
from pipeline.files import whole, write_text
from pipeline.stages import main

log = logging.getLogger("pipeline.stages")


def audit() -> None:
    limits = params.load().audit
    files = pd.read_csv(paths.FILES, dtype="string", keep_default_na=False)
    roots = (f"{paths.AUDIO.as_posix()}/", f"{paths.MUSIC.as_posix()}/")
    names = [path.removeprefix(roots[0]).removeprefix(roots[1]) for path in files["path"]]
    table, pairs = auditing.audit(files.assign(clip_id=names), limits)
    report = auditing.summary(table, pairs)
    log.info(report)
    write_text(paths.AUDIT, report)
    auditing.check(table, limits)
    clips.write(table)
    with whole(paths.DUPLICATES) as file:
        pairs.to_csv(file, index=False)


if __name__ == "__main__":
    main(audit)
