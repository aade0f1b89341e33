"""Register the model in ``candidate/`` in a store that does not have it, as after ``git clone`` and ``dvc pull``."""

import re
from pathlib import Path

from pipeline import tracking
from pipeline.base import paths
from pipeline.base.errors import UserError
from pipeline.base.files import read_json
from pipeline.config.project import Params
from pipeline.serving import bundle, manifest, promotion
from pipeline.tracking import registry

LOCAL_LINK = re.compile(r"(?<!!)\[([^]]+)\]\((?!https?:)[^)]+\)")
"""In Markdown, to a file beside it."""


def restore(settings: Params) -> str:
    """What the stage ``champion`` did with the candidate, without writing an output; the outcome in a sentence.

    Raises:
        UserError: there is no candidate, or it does not belong to the evaluations.
        TrackingError: the store cannot be used.
    """
    _need(paths.CANDIDATE / manifest.FILE, paths.CARD, paths.OOD_FIGURE, paths.SPLIT, paths.CHOICE)
    name, known, chosen = settings.champion.name, manifest.load(paths.CANDIDATE), read_json(paths.CHOICE)["chosen"]
    if chosen != known.experiment:
        raise UserError(
            f"{paths.CANDIDATE} has the model {known.experiment}, but by the evaluations here {chosen} is chosen: "
            "`make repro` makes a new candidate"
        )
    _need(paths.EVALUATION / chosen / "predictions.parquet")
    candidate = bundle.candidate()
    tracking.connect(settings.tracking.experiment)
    present = registry.champion(name)
    decision = promotion.gate(candidate, present, settings)
    with tracking.run(settings.tracking.experiment, candidate.key, known.run_id, {}) as run:
        version = registry.register(name, candidate.key, paths.CANDIDATE, run.id)
        for file in (paths.CARD, paths.OOD_FIGURE):
            run.log_file(file)
    if decision.passed:
        registry.promote(name, version)
    card = paths.CARD.read_text(encoding="utf-8")
    registry.describe(name, version, LOCAL_LINK.sub(r"\1", card), run.id)
    return f"{name} version {version} ({candidate.key}), from {paths.CANDIDATE}. {decision.sentence(version, present)}"


def _need(*files: Path) -> None:
    if missing := [file for file in files if not file.exists()]:
        raise UserError(f"{missing[0]} is not here: `dvc pull` brings it from the remote, `make repro` makes it")
