"""What the documents say of data and weights from elsewhere, with servers and packages on this computer in place of them."""

import functools
import hashlib
import http.server
import io
import json
import re
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
import yaml
from checkouts import RATE, edit_params, ran, run
from documented import ROOT
from hub import hub
from networks import FRAMES, make_ast

from pipeline.base import paths
from pipeline.data import gtzan

NO_PROXY = {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}

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
