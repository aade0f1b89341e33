"""What the documents say of data and weights from elsewhere, with servers and packages on this computer in place of them."""

import functools
import hashlib
import http.server
import io
import json
import re
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from checkouts import RATE, edit_params, make_music, ran, run
from documented import ROOT, Typed
from hub import hub
from networks import FRAMES, make_ast

from pipeline.base import paths
from pipeline.data import gtzan

NO_PROXY = {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}

AWKWARD = "new :: #1? [a]%20*.wav"
"""A file name of characters that mean something in an address."""
MIRDATA = """
from types import SimpleNamespace as Any
REMOTES = {{name: Any(filename={archive!r}, url="http://127.0.0.1:9/", checksum={archive_md5!r}) for name in ("all", "mini")}}
index = Any(filename="index.json", url="http://127.0.0.1:9/", checksum={index_md5!r})
INDEXES = {{name: Any(remote=index) for name in ("1.0", "mini")}}
"""
"""In place of the module that knows the checksums of the published archives: those of archives made up here."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def wav(seed: str) -> bytes:
    """A second of noise, told from any other by its seed, as WAV."""
    file = io.BytesIO()
    noise = np.random.default_rng(list(seed.encode())).normal(0, 0.1, round(1.1 * RATE))
    soundfile.write(file, noise, RATE, format="WAV")
    return file.getvalue()


def publish(folder: Path, archive: str, ids: list[str]) -> None:
    """Archive and index in ``folder/web``, and the module that knows their checksums in ``folder/mirdata``."""
    (folder / "web").mkdir()
    clips = {clip: wav(clip) for clip in ids}
    members = {f"genres/{clip.split('.')[0]}/{clip}.wav": content for clip, content in clips.items()}
    if archive.endswith(".zip"):
        with zipfile.ZipFile(folder / "web" / archive, "w") as zipped:
            for name, content in members.items():
                zipped.writestr(f"gtzan_mini-main/{name}", content)
    else:
        with tarfile.open(folder / "web" / archive, "w:gz", compresslevel=1) as tar:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    tracks = {clip: {"audio": [f"genres/{clip}.wav", md5(content)]} for clip, content in clips.items()}
    index = folder / "web/index.json"
    index.write_text(json.dumps({"version": "1.0", "tracks": tracks}))
    module = folder / "mirdata/datasets/gtzan_genre.py"
    module.parent.mkdir(parents=True)
    for package in (module.parent, module.parents[1]):
        (package / "__init__.py").touch()
    sums = {"archive_md5": md5((folder / "web" / archive).read_bytes()), "index_md5": md5(index.read_bytes())}
    module.write_text(MIRDATA.format(archive=archive, **sums))


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def parts(folder: Path) -> pd.Series:
    """Of each clip, by its name."""
    table = pd.read_parquet(folder / paths.SPLIT)
    return table.set_index(table["clip_id"].map(lambda clip: Path(clip).stem))["part"]


Ask = Callable[..., str]


def split(checkout: Path, standins: Path, ok: bool = True) -> str:
    return run(
        checkout, *("dvc", "repro", "split"), ok=ok, variables={**NO_PROXY, "PYTHONPATH": f"{standins}:{checkout}"}
    )


def test_gtzan_mini_needs_the_random_protocol(checkout: Path, tmp_path: Path) -> None:
    """As docs/music.md says, and as the error says where the default is left."""
    numbers = {"jazz": (0, 1, 2, 4, 5, 6, 7, 8, 11, 12)}
    ids = [f"{genre}.{number:05}" for genre in gtzan.GENRES for number in numbers.get(genre, range(10))]
    publish(tmp_path, "main.zip", ids)
    with served(tmp_path / "web") as address:
        edit_params(checkout, lambda content: content["data"].update(source="gtzan-mini", mirror=address))
        refused = split(checkout, tmp_path, ok=False)
        assert "split.protocol" in refused
        assert "random" in refused
        edit_params(checkout, lambda content: content["split"].update(protocol="random"))
        assert ran(split(checkout, tmp_path)) == ["split"]
    found = parts(checkout)
    assert set(found.index) == set(ids)
    assert found.value_counts().to_dict() == {"train": 60, "valid": 15, "test": 25}


def test_gtzan_is_split_as_published(checkout: Path, tmp_path: Path) -> None:
    published = {clip: part for clip, part in gtzan.filtered().items() if part in ("train", "valid", "test")}
    few = pd.DataFrame(published.items(), columns=["clip", "part"])
    few["genre"] = few["clip"].str.split(".").str[0]
    each = few.groupby(["genre", "part"])
    ids = list(pd.concat([each.head(2), each.tail(2)])["clip"])
    publish(tmp_path, "genres.tar.gz", ids)
    with served(tmp_path / "web") as address:
        edit_params(checkout, lambda content: content["data"].update(source="gtzan", mirror=address))
        edit_params(checkout, lambda content: content["split"].update(protocol="filtered"))
        split(checkout, tmp_path)
        assert parts(checkout).to_dict() == {clip: published[clip] for clip in ids}
        edit_params(checkout, lambda content: content["split"].update(protocol="tutorial"))
        assert ran(split(checkout, tmp_path)) == ["split"]
    tested = {clip for clip, part in parts(checkout).items() if part == "test"}
    assert tested == {clip for clip in ids if gtzan.number_of(clip) >= 60}


@pytest.fixture
def elsewhere(checkout: Path, tmp_path: Path) -> Path:
    """The music of the checkout at a URL, which params.yaml names."""
    there = tmp_path / "elsewhere"
    make_music(there)
    edit_params(checkout, lambda content: content["data"].update(source="url", url=f"file://{there}/"))
    return there


def test_music_at_a_url_is_read_where_it_is(checkout: Path, elsewhere: Path) -> None:
    for name in ("groups.txt", "stray.wav", "low/.hidden.wav"):
        (elsewhere / name).write_text("no music")
    array, known = checkout / "features/tabular/array.bin", pd.read_parquet(checkout / paths.CLIPS)
    of_files = array.read_bytes()
    output = run(checkout, "dvc", "repro", "describe")
    assert "not used (in no label's folder): stray.wav" in output
    assert array.read_bytes() == of_files
    assert (checkout / "reports/data.html").read_text().count("<audio") == 3 * len(known["label"].unique())
    assert [file.name for file in (checkout / paths.AUDIO).iterdir()] == ["files.csv"]
    table = pd.read_parquet(checkout / paths.CLIPS)
    assert list(table["sha256"]) == list(known["sha256"])
    assert set(table["path"].str[:7]) == {"file://"}


@pytest.mark.documented("dvc repro -f download")
def test_new_and_changed_clips_at_a_url_are_found_when_asked_and_fetched_alone(
    checkout: Path, elsewhere: Path, typed: Typed
) -> None:
    run(checkout, "dvc", "repro", "features")
    known = len(pd.read_parquet(checkout / paths.CLIPS))
    (elsewhere / "low" / AWKWARD).write_bytes(wav("new"))
    (elsewhere / "low/low 2.wav").write_bytes(wav("another"))
    (elsewhere / "groups.csv").write_text(f"path,group\nlow/{AWKWARD},ours\nlow/low 1.wav,ours\n")
    typed(checkout, "dvc repro -f download")
    output = run(checkout, "dvc", "repro", "features")
    assert f"2 of {known + 1} files have to be decoded" in output
    assert f"2 of {known + 1} clips have features to compute" in output
    groups = pd.read_parquet(checkout / paths.CLIPS).set_index("clip_id")["group"]
    assert groups[groups.index.str.endswith(AWKWARD)].item() == groups[groups.index.str.endswith("/low 1.wav")].item()


def test_a_clip_that_is_gone_from_a_url_is_a_sentence(checkout: Path, elsewhere: Path) -> None:
    run(checkout, "dvc", "repro", "audit")
    for kind in ("features", "audit"):
        shutil.rmtree(checkout / ".cache" / kind, ignore_errors=True)
    (elsewhere / "low/low 2.wav").unlink()
    output = run(checkout, "dvc", "repro", "--single-item", "--force", "features", ok=False)
    assert re.search(r"error: file://\S+/low/low 2.wav cannot be fetched: FileNotFoundError", output)
    assert "Traceback" not in output
    run(checkout, "dvc", "repro", "--single-item", "--force", "audit")
    table = pd.read_parquet(checkout / paths.CLIPS).set_index("clip_id")
    lost = table[table["status"] == "rejected"]
    assert [Path(name).name for name in lost.index] == ["low 2.wav"]
    assert lost["reason"].str.startswith("cannot be read: file://").all()


def test_a_url_that_cannot_be_used_is_a_sentence(checkout: Path, tmp_path: Path) -> None:
    def said(url: str | None) -> str:
        edit_params(checkout, lambda content: content["data"].update(source="url", url=url))
        output = run(checkout, "dvc", "repro", "download", ok=False)
        assert "Traceback" not in output
        return output

    assert "source url needs url, like s3://bucket/folder" in said(None)
    assert "nosuch://place cannot be used: Protocol not known: nosuch" in said("nosuch://place")
    secret = said("ssh://me:secret@server/music")
    assert "ssh://server/music: give no password in an address" in secret
    assert "secret" not in secret
    assert "holds no <label>/<clip> files" in said(f"file://{tmp_path / 'gone'}")
    refused = run(checkout, "soundtrack", "import", "s3://bucket/folder", ok=False)
    assert "set data.source to url and data.url to the address in params.yaml" in refused


def test_weights_from_the_hub_are_used(checkout: Path, tmp_path: Path) -> None:
    """`transfer-ast`, of which the marks in params.yaml are taken away."""
    text = (ROOT / "params.yaml").read_text()

    def marked(name: str) -> dict[str, Any]:
        [block] = re.findall(rf"^  # {name}:.*\n(?:  #   .*\n)+", text, re.MULTILINE)
        return dict(yaml.safe_load(re.sub(r"^  # ", "", block, flags=re.MULTILINE)))

    def use(content: dict[str, Any]) -> None:
        content["weights"], content["leak"] = marked("ast"), []
        content["experiments"] = marked("transfer-ast")
        content["features"]["fbank"], content["window"]["fbank"] = {}, FRAMES

    edit_params(checkout, use)
    make_ast(tmp_path / "ast")
    wanted = marked("ast")["ast"]
    with hub(tmp_path / "ast", wanted["id"], wanted["revision"], wanted["revision"]) as address:
        env = {**NO_PROXY, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hub")}
        run(checkout, "dvc", "repro", "inputs", variables=env)
    assert wanted["revision"] in (checkout / "weights/ast/SOURCE.md").read_text()
    assert list((checkout / "embeddings/transfer-ast").rglob("array.bin")), "it has heard every clip"
