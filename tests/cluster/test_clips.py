"""On a Dask cluster clips give the same bytes as on one machine, whatever is killed; what cannot work is a sentence."""

import importlib.util
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import bundles
import pandas as pd
import pytest
import yaml
from checkouts import TINY_FEATURES, make_music
from dasks import Dask
from leaves import changed
from networks import make_resnet, make_sound
from processes import PATIENCE_S, ROOT, wait_until
from remote import slowly, threads, touched
from tiny import make_features, tiny

from pipeline import config
from pipeline.base import cluster, parallel, paths
from pipeline.base.cluster import ADDRESS
from pipeline.base.errors import UserError
from pipeline.base.files import write_text
from pipeline.base.parallel import AHEAD, cores, each, workers
from pipeline.tracking.registry import BUNDLE

MINE = 900
"""A file that this process alone has open under that number."""
CLIPS = 34
"""Of each of three labels: 102 in all."""


music_here = pytest.mark.usefixtures("music")


@pytest.fixture
def music(checkout: Path) -> Path:
    """A checkout before the stage `audit`."""
    content = yaml.safe_load(paths.PARAMS.read_text())
    content["features"] = TINY_FEATURES
    paths.PARAMS.write_text(yaml.safe_dump(content))
    make_music(paths.AUDIO, CLIPS)
    write_text(paths.AUDIO / "low/torn.wav", "RIFF no music")
    shutil.copy(paths.AUDIO / "low/low 1.wav", paths.AUDIO / "low/twice.wav")
    files = sorted(paths.AUDIO.rglob("*.wav"))
    about = {"source": "folder", "origin": "", "licence": "", "credit": ""}
    table = pd.DataFrame({"path": [file.as_posix() for file in files], "label": [file.parent.name for file in files]})
    table.assign(**about, group=[str(file) for file in files]).to_csv(paths.AUDIO / paths.FILES, index=False)
    return checkout


def typed(*command: str, ok: bool = True, **variables: str) -> str:
    """Run it as DVC or a person does."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=PATIENCE_S,
    )
    assert (done.returncode == 0) == ok, done.stdout
    return done.stdout


def made(model: Path) -> dict[str, bytes]:
    """All that audit, features and classify leave here; without times."""
    typed("pipeline.stages", "audit")
    typed("pipeline.stages", "features")
    typed("pipeline.cli", "classify", str(paths.AUDIO), "--model", str(model), "--json", "songs.json")
    left = [paths.CLIPS, paths.DUPLICATES, paths.AUDIT, paths.FAILED, Path("songs.json")]
    left += sorted(file for file in paths.FEATURES.rglob("*") if file.is_file() and file != paths.FEATURE_COST)
    return {str(file): file.read_bytes() for file in left}


def forget() -> None:
    for place in (paths.CLIPS, paths.DUPLICATES, paths.AUDIT, paths.FEATURES, paths.cache(), Path("songs.json")):
        shutil.rmtree(place) if place.is_dir() else place.unlink()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    bundles.make(config.load(ROOT / "params.yaml"), folder / "artifacts" / BUNDLE)
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "code").mkdir()
    (folder / "code/pipeline").symlink_to(ROOT / "pipeline")
    return folder


@music_here
def test_two_workers_give_the_same_bytes_as_one_machine(model: Path, dask: Dask) -> None:
    alone = made(model)
    forget()
    dask.start(2)
    together = made(model)
    assert together.keys() == alone.keys()
    assert [name for name, content in alone.items() if together[name] != content] == []
    assert len(json.loads(together["songs.json"])["songs"]) >= 3 * CLIPS


@pytest.mark.usefixtures("checkout")
def test_two_workers_embed_as_one_machine(dask: Dask) -> None:
    """Frozen backbones: one sees images, one windows of samples."""
    make_features()
    make_resnet(paths.WEIGHTS / "mobilenet_v2", 1)
    make_sound(paths.WEIGHTS / "sound", "wav2vec2")
    content = tiny()
    content["experiments"] = {key: content["experiments"][key] for key in ("transfer", "sound")}
    del content["tutorial"]
    paths.PARAMS.write_text(yaml.safe_dump(changed(content, {"leak": []})))

    def embedded() -> dict[str, bytes]:
        typed("pipeline.stages", "inputs")
        return {str(file): file.read_bytes() for file in paths.EMBEDDINGS.rglob("*") if file.is_file()}

    alone = embedded()
    assert {"transfer", "sound"} <= {Path(name).parts[1] for name in alone}
    for folder in (paths.EMBEDDINGS, paths.INPUTS, paths.cache()):
        shutil.rmtree(folder)
    dask.start(2)
    assert embedded() == alone
    assert dask.loaded("onnxruntime") == [True, True], "both have embedded"
    assert not [*paths.cache().rglob("*.onnx")]


@music_here
def test_a_worker_killed_in_the_middle_costs_nothing(dask: Dask) -> None:
    typed("pipeline.stages", "audit")
    typed("pipeline.stages", "features")

    def stores() -> dict[str, bytes]:
        found = sorted(paths.FEATURES.glob("*/*.*"))
        return {str(file): file.read_bytes() for file in found}

    alone = stores()
    shutil.rmtree(paths.FEATURES)
    shutil.rmtree(paths.cache() / "features")
    dask.start(2)
    stage = subprocess.Popen(
        [sys.executable, "-m", "pipeline.stages", "features"], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    wait_until(lambda: any(file.stat().st_size for file in paths.cache().rglob("array.bin")), stage)
    os.kill(dask.workers[0], signal.SIGKILL)
    assert stage.poll() is None, "it was killed in the middle"
    assert stage.wait(PATIENCE_S) == 0
    assert stores() == alone


def test_only_a_few_results_per_worker_wait_to_be_taken(dask: Dask, tmp_path: Path) -> None:
    dask.start(1)
    with workers() as pool:
        results = each(pool, touched, [tmp_path / f"{number}" for number in range(50)], "")
        first = next(results)
        time.sleep(2)
        assert len(list(tmp_path.glob("[0-9]*"))) <= AHEAD + 2
        assert [first, *results] == [str(number) for number in range(50)]


def test_work_is_done_on_one_thread_there(dask: Dask) -> None:
    dask.start(1, "--no-nanny", variables={"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"})
    with workers() as pool:
        pool.submit(config.load, ROOT / "params.yaml").result()
        assert set(pool.submit(threads, 0).result()) == {1}


@music_here
def test_a_scheduler_that_does_not_answer_is_named() -> None:
    pytest.importorskip("distributed", reason="pip install '.[dask]'")
    said = typed("pipeline.stages", "audit", ok=False, DASK_SCHEDULER_ADDRESS="tcp://127.0.0.1:9")
    assert "the Dask scheduler at tcp://127.0.0.1:9 (DASK_SCHEDULER_ADDRESS) does not answer" in said
    assert "start it with `dask scheduler`" in said
    assert "Traceback" not in said


def test_a_cluster_without_workers_is_named_with_the_command_that_starts_them(
    dask: Dask, monkeypatch: pytest.MonkeyPatch
) -> None:
    dask.start(0)
    monkeypatch.setattr(cluster, "JOIN_S", 1)
    with pytest.raises(UserError, match=r"has no workers: start some with `") as said, workers():
        pass
    dask.run(*shlex.split(str(said.value).split("`")[1])[1:])
    wait_until(lambda: dask.threads() == [1] * cores(), dask.processes[-1])


@music_here
def test_a_worker_of_other_code_or_other_packages_is_named(dask: Dask, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(ROOT / "pipeline", other / "pipeline")
    with (other / "pipeline/data/audio.py").open("a") as changed:
        changed.write("# changed\n")
    package = other / "threadpoolctl-9.9.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: threadpoolctl\nVersion: 9.9\n")
    dask.start(1, variables={"PYTHONPATH": str(other)})
    said = typed("pipeline.stages", "audit", ok=False)
    assert "threadpoolctl 9.9 in place of" in said
    assert "this code" in said
    assert "start it from an environment like this command's" in said
    assert "Traceback" not in said


@music_here
def test_a_worker_without_this_code_is_named(dask: Dask, tmp_path: Path) -> None:
    (tmp_path / "other/pipeline").mkdir(parents=True)
    (tmp_path / "other/pipeline/__init__.py").touch()
    dask.start(1, variables={"PYTHONPATH": str(tmp_path / "other")})
    said = typed("pipeline.stages", "audit", ok=False)
    assert "the cluster does not have this code: start the scheduler and `" in said
    assert "Traceback" not in said


def test_workers_that_are_all_gone_are_not_waited_for_for_ever(dask: Dask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "JOIN_S", 2)
    dask.start(1)
    with pytest.raises(UserError, match="has lost all its workers"), workers() as pool:
        for number in each(pool, slowly, range(100), ""):
            if number == 1:
                dask.processes[1].terminate()


@music_here
def test_a_worker_of_several_threads_is_named(dask: Dask) -> None:
    dask.start(1, "--nthreads", "2")
    said = typed("pipeline.stages", "audit", ok=False)
    assert "start it with --nthreads 1" in said
    assert "Traceback" not in said


def test_a_worker_that_does_not_see_the_clips_is_named(dask: Dask, tmp_path: Path) -> None:
    """This process has a clip under a name that others do not have."""
    dask.start(1)
    (tmp_path / "clip").touch()
    with (tmp_path / "clip").open() as opened:
        os.dup2(opened.fileno(), MINE)
    try:
        with pytest.raises(UserError, match=f"does not see /proc/self/fd/{MINE}: this checkout and"), workers() as pool:
            list(each(pool, touched, [Path(f"/proc/self/fd/{MINE}")], ""))
    finally:
        os.close(MINE)


def test_a_scheduler_that_ends_is_named(dask: Dask) -> None:
    dask.start(1)
    with pytest.raises(UserError, match="ended, or lost this command: start both again"), workers() as pool:
        for number in each(pool, slowly, range(100), ""):
            if number == 1:
                dask.processes[0].kill()


@pytest.mark.skipif(importlib.util.find_spec("distributed") is not None, reason="Dask is installed")
def test_without_dask_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS, "tcp://127.0.0.1:8786")
    with pytest.raises(UserError, match=r"Dask is not installed: pip install 'soundtrack\[dask\]'"), workers():
        pass


def test_nothing_of_it_is_used_without_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ADDRESS, raising=False)
    assert not cluster.asked()
    with parallel.workers() as pool:
        assert not isinstance(pool, cluster.Cluster)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that run jobs as SLURM does, here and at once."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    (folder / "sbatch").write_text(SBATCH.format(folder=folder))
    (folder / "scancel").write_text(SCANCEL.format(folder=folder))
    for program in folder.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


SBATCH = """#!/bin/sh
[ "$1" = --test-only ] && exit
cp "$1" {folder}/job$$.sh  # which is deleted then
setsid sh {folder}/job$$.sh >{folder}/log 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
touch {folder}/cancelled$1
kill -- -$1
"""


def test_jobs_that_slurm_refuses_are_not_waited_for(slurm: Path) -> None:
    pytest.importorskip("distributed", reason="pip install '.[dask]'")
    (slurm / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: invalid account' >&2\nexit 1\n")
    with pytest.raises(UserError, match="--cluster slurm: sbatch: error: invalid account"), cluster.given("slurm:1"):
        pass


@pytest.mark.parametrize("where", ["local:1", "slurm:1"])
def test_repro_brings_a_cluster_that_ends_with_it(where: str, slurm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `soundtrack repro --cluster local:1` does for its stages."""
    pytest.importorskip("distributed", reason="pip install '.[dask]'")
    monkeypatch.setenv(ADDRESS, "")
    with cluster.given(where):
        stage = [sys.executable, "-c", STAGE]
        address = subprocess.run(
            stage, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, check=True, stdout=-1
        ).stdout
        assert address.strip() == os.environ[ADDRESS]
    assert not cluster.asked()
    assert len([*slurm.glob("cancelled*")]) == (where == "slurm:1")


STAGE = """
from distributed import get_worker
from pipeline.base.parallel import workers

def address():
    return get_worker().scheduler.address

with workers() as pool:
    print(pool.submit(address).result())
"""
