"""Checkouts for stages that run with every leaf of params.yaml changed."""

import os
from collections.abc import Iterator

import pytest
from tiny import make_features, make_networks, tiny
from workshop import Workshop, serving

from pipeline import paths


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """A checkout with params.yaml alone."""
    with serving() as server:
        yield Workshop(tmp_path_factory.mktemp("workshop") / "checkout", tiny(), server)


@pytest.fixture(scope="module")
def made(workshop: Workshop) -> Workshop:
    """A checkout up to the stage `inputs`, with features made up for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workshop.home)
        make_networks(paths.WEIGHTS)
        make_features()
    workshop.make("split", *(f"inputs@{key}" for key in workshop.base["experiments"]))
    return workshop
