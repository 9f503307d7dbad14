"""``moorage pod-pinner`` as a process: its probes, its end, and its logs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kube import identity
from tools.demo import world
from tools.localcluster import ClusterHandle
from tools.localcluster.ports import free_ports

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
NAMESPACE = "kube-public"  # there in every cluster, and nobody minds another Lease in it
KEY = "sesame-open-1234"


class Pinner:
    """One running process, its log, and its health address."""

    def __init__(self, folder: Path, kubeconfig: Path, lease: str, *flags: str, **environment: str) -> None:
        self.log = folder / "pod-pinner.log"
        self.lease = lease
        settings = ["--namespace", NAMESPACE, "--lease-name", self.lease, "--kubeconfig", str(kubeconfig)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "moorage.cli", "pod-pinner", *settings, "--health-address=127.0.0.1:0", *flags],
                env={**os.environ, "PYTHONPATH": str(ROOT / "runtime"), "MOORAGE_API_KEY": KEY, **environment},
                stderr=log,
            )
        self.address = self.until("health server listens")["address"]

    def lines(self) -> list[dict[str, Any]]:
        whole = self.log.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def until(self, message: str) -> dict[str, Any]:
        """The first line with this message."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for line in self.lines():
                if line["message"] == message:
                    return line
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(f"no line {message!r}:\n{self.log.read_text()}")

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def until_ready(self) -> None:
        end = time.monotonic() + PATIENCE
        while (answer := self.get("/readyz"))[0] != 200:
            assert time.monotonic() < end, answer
            time.sleep(0.05)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@pytest.fixture
def pinners() -> Iterator[list[Pinner]]:
    started: list[Pinner] = []
    yield started
    for each in started:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def planner() -> str:
    """An address where no planner is."""
    return f"127.0.0.1:{free_ports(1)[0]}"


def define(cluster: ClusterHandle) -> None:
    for manifest in world.definitions():
        path = f"{world.CRD_PATH}/{manifest['metadata']['name']}?fieldManager=tests&force=true"
        cluster.api.request("PATCH", path, manifest, "application/apply-patch+yaml")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_lost_stream_is_no_unreadiness_and_a_signal_gives_the_lease_up(
    cluster: ClusterHandle, tmp_path: Path, pinners: list[Pinner], planner: str, number: signal.Signals, code: int
) -> None:
    define(cluster)
    flags = ("--planner-address", planner, "--planner-plaintext")
    lease = f"test-{os.getpid()}-{time.monotonic_ns()}"
    pinner = Pinner(tmp_path, identity.pinner(cluster, namespace=NAMESPACE, lease=lease), lease, *flags)
    pinners.append(pinner)
    pinner.until_ready()
    pinner.until("became leader")
    pinner.until("failed streaming pod pinning actions, restarting...")
    assert pinner.get("/readyz") == (200, "ok\n")
    assert pinner.get("/livez") == (200, "ok\n")
    status, metrics = pinner.get("/metrics")
    assert status == 200
    assert 'moorage_watch_synced{kind="Pod"} 1.0' in metrics

    assert pinner.end(number) == code
    assert pinner.lines()[-1]["level"] == "info", "the end is orderly"
    lease = cluster.api.get(f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{pinner.lease}")
    assert not lease["spec"].get("holderIdentity")
    assert KEY not in pinner.log.read_text()


def test_without_an_api_server_it_lives_is_not_ready_and_ends_in_order(
    cluster: ClusterHandle, tmp_path: Path, pinners: list[Pinner], planner: str
) -> None:
    nowhere = tmp_path / "kubeconfig"
    nowhere.write_text(cluster.kubeconfig.read_text().replace(cluster.server, f"https://127.0.0.1:{free_ports(1)[0]}"))
    pinner = Pinner(tmp_path, nowhere, "nobodys", "--planner-address", planner, "--planner-plaintext")
    pinners.append(pinner)
    pinner.until("watch interrupted, trying again")
    assert pinner.get("/livez") == (200, "ok\n")
    status, text = pinner.get("/readyz")
    assert status == 503
    assert "[-] cache of pods: not yet" in text
    assert pinner.end(signal.SIGTERM) == 0


def test_wrong_credentials_of_the_cluster_are_one_line(tmp_path: Path, planner: str) -> None:
    broken = tmp_path / "kubeconfig"
    broken.write_text("apiVersion: v1\nkind: Config\n")
    flags = ["--planner-address", planner, "--planner-plaintext", "--kubeconfig", str(broken)]
    done = subprocess.run(
        [sys.executable, "-m", "moorage.cli", "pod-pinner", *flags],
        env={**os.environ, "PYTHONPATH": str(ROOT / "runtime")},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 1
    (line,) = map(json.loads, done.stderr.splitlines())
    assert line["message"] == "program ended by an error"
    assert "current-context is not set" in line["error"]
