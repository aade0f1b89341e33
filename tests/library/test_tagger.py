"""`soundtrack classify` with the pre-trained tagger, as a user types it, where nothing was trained."""

import json
import os
import shutil
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml
from checkouts import ROOT, make_music, run

GTZAN = ("blues", "classical", "country", "hiphop", "jazz", "metal", "pop", "rock")
"""Its genres that genres.yaml names."""
FILES = ("params.yaml", "genres.yaml")
RIGHT, RIGHT_OF_NAMED = 0.75, 0.85
"""Shares of GTZAN-mini's clips, of all and of those with a label."""


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with nothing but params.yaml and genres.yaml, in which a folder of music was classified; not to be changed."""
    folder = tmp_path_factory.mktemp("first")
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    make_music(folder / "music", clips=1)
    return folder, run(folder, "soundtrack", "classify", "music", "--json", "songs.json", "--playlists", "lists")


@pytest.fixture
def again(first: tuple[Path, str], tmp_path: Path) -> Path:
    """The same folder with the networks, and without a store of models."""
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(first[0] / ".cache/tagger", tmp_path / ".cache/tagger")
    shutil.copytree(first[0] / "music", tmp_path / "music")
    return tmp_path


def songs(folder: Path) -> pd.DataFrame:
    return pd.DataFrame(json.loads((folder / "songs.json").read_text())["songs"])


def test_music_is_classified_before_any_training(first: tuple[Path, str]) -> None:
    folder, said = first
    assert "There is no champion yet (`make repro` makes one), so the pre-trained tagger answers." in said
    assert "Fetching the pre-trained tagger (29 MB, once) ..." in said
    assert "Model: models:/soundtrack-tags/1 (tagger), 3 songs." in said
    assert "INFO" not in said
    found = songs(folder)
    assert list(found["model"].unique()) == ["models:/soundtrack-tags/1"]
    genres = yaml.safe_load((ROOT / "genres.yaml").read_text())
    assert all(list(probabilities) == list(genres["genres"]) for probabilities in found["probabilities"])
    listed: set[str] = set().union(*found["tags"][found["verdict"] != "out-of-distribution"])
    assert set().union(*found["tags"]) <= set(genres["shown"])
    assert {file.stem for file in (folder / "lists/tags").glob("*")} == listed


def test_its_card_says_whose_it_is_and_what_it_knows(first: tuple[Path, str]) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{first[0] / 'mlflow.db'}")
    version = client.get_model_version_by_alias("soundtrack-tags", "champion")
    for words in (
        "Licence | ISC",
        "Million Song Dataset",
        "blues, classical",
        "409 excerpts of GTZAN",
        "female vocalists",
    ):
        assert words in version.description
    assert "No model here was trained for it" in client.get_registered_model("soundtrack-tags").description


def test_it_is_fetched_and_registered_once_and_anew_for_other_genres(again: Path) -> None:
    dead = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple"}  # nothing has to be fetched
    command = ("soundtrack", "classify", "music", "--json", "songs.json")
    assert "soundtrack-tags/1 " in run(again, *command, variables=dead)
    content = yaml.safe_load((again / "genres.yaml").read_text())
    content["genres"] = {"dance": ["dance", "electronic"], "calm": ["chillout", "ambient"]}
    (again / "genres.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    assert "soundtrack-tags/2 " in run(again, *command)
    assert {tuple(probabilities) for probabilities in songs(again)["probabilities"]} == {("dance", "calm")}
    content["genres"]["calm"] = ["chilout"]
    (again / "genres.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    said = run(again, *command, ok=False)
    assert "error: genres.yaml: the tagger has no tag 'chilout' (did you mean 'chillout'?)" in said
    assert "Traceback" not in said


def test_without_network_it_says_what_to_do(tmp_path: Path) -> None:
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    make_music(tmp_path / "music", clips=1)
    offline = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"}
    offline |= {"PIP_RETRIES": "0", "PIP_FIND_LINKS": ""}
    said = run(tmp_path, "soundtrack", "classify", "music", ok=False, variables=offline)
    assert "error: pip could not fetch musicnn==0.1.0" in said
    assert "Traceback" not in said
    assert not list((tmp_path / ".cache/tagger").glob("*"))


def test_the_champion_can_be_insisted_on(again: Path) -> None:
    said = run(again, "soundtrack", "classify", "music", "--model", "champion", ok=False)
    assert "error: 'soundtrack' has no champion yet: `make repro` makes one" in said


def test_it_knows_the_genres_of_gtzan(again: Path, shared: Path) -> None:
    clips = shared / "data/gtzan-mini/genres"
    run(again, "soundtrack", "classify", str(clips), "--model", "tags", "--json", "songs.json")
    found = songs(again).assign(truth=lambda rows: rows["file"].map(lambda file: Path(file).parent.name))
    known = found[found["truth"].isin(GTZAN)]
    assert len(known) == 80
    assert (known["guess"] == known["truth"]).mean() >= RIGHT
    named = found[found["label"] != ""]
    assert len(named) > 40
    assert (named["label"] == named["truth"]).mean() >= RIGHT_OF_NAMED
