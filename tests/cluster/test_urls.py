"""Music in a real object store, or behind a real SSH server, gives the bytes of the same files, also by workers of a Dask cluster."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from checkouts import begin, edit_params, ran, run
from dasks import Dask
from services import KEYS, MISSING, PASSWORD, object_store, ssh_server

from pipeline.base import paths

boto3 = pytest.importorskip("boto3", reason=MISSING)
for package in ("s3fs", "sshfs"):
    pytest.importorskip(package, reason=MISSING)

STAGES = ("dvc", "repro", "features")


def made(checkout: Path) -> dict[str, bytes]:
    """Features by kind, of clips in the order of their paths."""
    return {file.parent.name: file.read_bytes() for file in (checkout / paths.FEATURES).glob("*/array.bin")}


def forget(checkout: Path) -> None:
    for place in (paths.FEATURES, paths.AUDIO, Path(".cache/features"), Path(".cache/audit")):
        shutil.rmtree(checkout / place, ignore_errors=True)


def at(checkout: Path, url: str, **variables: str) -> None:
    forget(checkout)
    edit_params(checkout, lambda content: content["data"].update(source="url", url=url))
    assert "features" in ran(run(checkout, *STAGES, "--force", variables=variables))
    table = pd.read_parquet(checkout / paths.CLIPS)
    assert set(table["status"]) == {"ok"}
    assert all(path.startswith(url) for path in table["path"])


def test_clips_are_read_in_a_store_and_by_ssh(tmp_path: Path, dask: Dask, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = begin(tmp_path)
    run(checkout, *STAGES)
    of_files = made(checkout)
    with object_store(tmp_path) as store, ssh_server(tmp_path) as (port, key):
        keys = {**KEYS, "AWS_ENDPOINT_URL": store}
        bucket = boto3.client(
            "s3",
            endpoint_url=store,
            region_name="us-east-1",
            aws_access_key_id="soundtrack",
            aws_secret_access_key=PASSWORD,
        )
        for file in (tmp_path / "music").rglob("*.wav"):
            bucket.upload_file(str(file), "dvc", f"songs/{file.relative_to(tmp_path / 'music').as_posix()}")
        at(checkout, "s3://dvc/songs", **keys)
        assert made(checkout) == of_files, "one machine, from the store"

        settings = tmp_path / "fsspec"
        settings.mkdir()
        own = {"ssh": {"port": port, "client_keys": [str(key)], "known_hosts": None}}
        (settings / "conf.json").write_text(json.dumps(own))
        for name, value in {**keys, "FSSPEC_CONFIG_DIR": str(settings)}.items():
            monkeypatch.setenv(name, value)
        at(checkout, f"ssh://127.0.0.1{tmp_path}/music")
        assert made(checkout) == of_files, "one machine, by SSH"

        dask.start(2)
        at(checkout, "s3://dvc/songs/")
        assert made(checkout) == of_files, "two workers, from the store"
        assert dask.loaded("s3fs") == [True, True]
        at(checkout, f"ssh://127.0.0.1{tmp_path}/music/")
        assert made(checkout) == of_files, "two workers, by SSH"


def test_a_store_that_refuses_is_a_sentence(tmp_path: Path) -> None:
    checkout = begin(tmp_path)
    with object_store(tmp_path) as store:
        edit_params(checkout, lambda content: content["data"].update(source="url", url="s3://nowhere/songs"))
        wrong = {**KEYS, "AWS_SECRET_ACCESS_KEY": "wrong", "AWS_ENDPOINT_URL": store}
        for keys in (wrong, {**wrong, **KEYS}, {**KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}):
            said = run(checkout, *STAGES, ok=False, variables=keys)
            assert "error: s3://nowhere/songs" in said
            assert "Traceback" not in said
