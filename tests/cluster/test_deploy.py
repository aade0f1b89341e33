"""What deploy/ starts on Kubernetes is what it starts with Docker, and what the other tests here start."""

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy/kubernetes"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]


def described(folder: Path = KUBERNETES) -> list[dict[str, Any]]:
    names = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    return [one for name in names for one in yaml.safe_load_all((folder / name).read_text())]


def containers() -> dict[str, dict[str, Any]]:
    """By the name of their workload."""
    works = [one for one in described() if "template" in one.get("spec", {})]
    return {one["metadata"]["name"]: one["spec"]["template"]["spec"]["containers"][0] for one in works}


def test_the_services_are_the_same() -> None:
    assert set(containers()) == set(COMPOSE)
    for name, container in containers().items():
        assert container["image"] == COMPOSE[name]["image"]
        if name in ("database", "worker"):  # the image's own command; one process in each of several containers
            continue
        command = COMPOSE[name]["command"]
        wanted = command if isinstance(command, list) else shlex.split(command.replace(",${HOSTS:-localhost}", ""))
        assert container["args"] == wanted


def test_nobody_is_answered_but_this_machine_unless_its_address_is_given() -> None:
    ports = [port for service in COMPOSE.values() for port in service.get("ports", [])]
    assert len(ports) == 5
    assert all(port.startswith("${ADDRESS:-127.0.0.1}:") for port in ports)


def test_kubectl_reads_them_with_a_password(tmp_path: Path) -> None:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not here")
    shutil.copytree(KUBERNETES, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("password.env"))
    command = ["kubectl", "kustomize", str(tmp_path)]
    assert "password.env" in subprocess.run(command, capture_output=True, text=True, check=False).stderr
    (tmp_path / "password.env").write_text("PASSWORD=a-password\n")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kinds = [one["kind"] for one in yaml.safe_load_all(done.stdout)]
    assert {"Secret", "ConfigMap", "StatefulSet", "Deployment", "Job"} <= set(kinds)
    assert kinds.count("Service") == sum(one["kind"] == "Service" for one in described())
