"""Checkouts for stages that run with every leaf of params.yaml changed."""

from collections.abc import Iterator

import pytest
from leaves import changed
from tiny import FEW, make_features, make_music, make_networks, tiny
from workshop import Workshop, serving

from pipeline.base import paths


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """A checkout with params.yaml alone."""
    with serving() as server:
        yield Workshop(tmp_path_factory.mktemp("workshop") / "checkout", tiny(), server)


@pytest.fixture(scope="session")
def made(workshop: Workshop) -> Workshop:
    """A checkout up to the stage `inputs`, with features made up for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workshop.home)
        make_networks(paths.WEIGHTS)
        make_features()
    workshop.make("split", "inputs")
    return workshop


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """A checkout up to the stage `leak`, with little music and two models that are fitted in no time."""
    with serving() as server:
        shop = Workshop(tmp_path_factory.mktemp("sounds") / "checkout", changed(tiny(), FEW), server)
        make_music(shop.home / paths.MUSIC)
        make_networks(shop.home / "networks")
        shop.make("download", "audit", "split", "features")
        shop.make("inputs", *(f"{stage}@{key}" for key in shop.base["experiments"] for stage in ("train", "evaluate")))
        shop.make("leak@logreg")
        yield shop
