"""Real clusters start, stop and are killed, and nothing of them stays on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import containers
from tests.e2e.real.probes import IMAGE, Space, probe_image, probe_spec
from tests.kube import owners
from tools.localcluster import ClusterOptions, LocalCluster, attach, cgroups
from tools.localcluster.real import machines
from tools.localcluster.state import remove_stale

pytestmark = pytest.mark.containers

# Starts a real cluster with a pod in it, says so, and lives until its input ends.
OWNER = """
import sys
from pathlib import Path
from tests.e2e.real.probes import Space, probe_spec
from tools.localcluster import ClusterOptions, LocalCluster

def say(line):
    print(line, flush=True)

with LocalCluster(sys.argv[1], options=ClusterOptions(real=1), progress=say) as cluster:
    cluster.load_image(Path(sys.argv[2]))
    space = Space(cluster, "default")
    space.create("api/v1/pods", {"metadata": {"name": "one"}, "spec": probe_spec()})
    space.ready_pods(1)
    say("RUNNING")
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of clusters of its own, for this process and those it starts."""
    containers.require("cluster")
    monkeypatch.setenv("MOORAGE_CLUSTERS_DIR", str(tmp_path / "clusters"))
    return tmp_path / "clusters"


def _processes_in(namespaces: set[str]) -> dict[str, str]:
    """Command lines, by pid, of the processes in some PID namespaces."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and os.readlink(entry / "ns" / "pid") in namespaces:
                found[entry.name] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return found


def _pid_namespaces(directory: Path) -> set[str]:
    """The PID namespaces of a cluster's machines and of the containers on them."""
    machine = {os.readlink(f"/proc/{entry['pid']}/ns/pid_for_children") for entry in machines(directory).values()}
    sandboxes = set()
    for group in Path("/sys/fs/cgroup").rglob(f"{cgroups.parent(directory)[1:]}/**/cgroup.procs"):
        for pid in group.read_text().split():
            with contextlib.suppress(OSError):
                sandboxes.add(os.readlink(f"/proc/{pid}/ns/pid"))
    return machine | sandboxes


def _wait_nothing_left(directory: Path, namespaces: set[str]) -> None:
    """Waits until the kernel has removed everything of a cluster. Its folder and control groups may stay."""
    owners.wait_gone(directory)
    interface = Path("/sys/class/net") / f"moor{cgroups.digest(directory)}"
    deadline = time.monotonic() + owners.HANG
    while (left := _processes_in(namespaces)) or interface.exists():
        assert time.monotonic() < deadline, (left, interface.exists())
        time.sleep(0.05)
    assert str(directory) not in Path("/proc/self/mountinfo").read_text()


def _groups(directory: Path) -> list[Path]:
    return list(Path("/sys/fs/cgroup").glob(f"**{cgroups.parent(directory)}"))


def test_killed_owner_leaves_nothing_and_the_next_start_works(clusters: Path, tmp_path: Path) -> None:
    directory, archive = clusters / "killed", probe_image(tmp_path)
    with owners.owner(["-c", OWNER, "killed", str(archive)], os.environ) as process:
        owners.read_until(process, "RUNNING")
        namespaces = _pid_namespaces(directory)
        running = " ".join(_processes_in(namespaces).values())
        assert all(program in running for program in ("containerd-shim", "kubelet", "kube-proxy", "/probe serve"))
        owners.kill(process)
    _wait_nothing_left(directory, namespaces)
    with (
        LocalCluster("killed", options=ClusterOptions(real=1)) as first,
        LocalCluster("beside", options=ClusterOptions(real=1)) as second,
    ):
        assert [node["metadata"]["name"] for node in first.api.get("/api/v1/nodes")["items"]] == ["real-1"]
        assert first.api.get("/api/v1/namespaces/default/pods")["items"] == []
        _check_own_api_server(first, archive)
        _check_own_api_server(second, archive)
    assert (list(clusters.iterdir()), _groups(directory)) == ([], [])


def _check_own_api_server(cluster: LocalCluster, archive: Path) -> None:
    """A pod reaches the API server of its own cluster at the Service address that all clusters share."""
    space = Space(cluster, "default")
    assert cluster.load_image(archive) == [IMAGE]
    space.create("api/v1/pods", {"metadata": {"name": "one"}, "spec": probe_spec()})
    space.ready_pods(1)
    assert cluster.server.removeprefix("https://") in space.kubectl("exec", "one", "--", "/probe", "api", "/api")


def test_end_at_any_moment_of_the_start_leaves_nothing(clusters: Path, tmp_path: Path) -> None:
    archive, directory = probe_image(tmp_path), clusters / "moment"
    seed = random.randrange(1_000_000)
    moments = random.Random(seed)
    for number in (signal.SIGKILL, signal.SIGINT):
        delay = moments.uniform(2, 12)
        with owners.owner(["-c", OWNER, "moment", str(archive)], os.environ) as process:
            time.sleep(delay)
            namespaces = _pid_namespaces(directory)
            owners.kill(process, number)
        _wait_nothing_left(directory, namespaces)
        print(f"seed {seed}: signal {number} after {delay:.2f} s left nothing")
    remove_stale()  # as each start does
    assert (list(clusters.iterdir()), _groups(directory)) == ([], [])


def _command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.localcluster", *arguments]
    return subprocess.run(command, cwd=owners.REPOSITORY, capture_output=True, text=True, check=False)


def test_up_killed_supervisor_up_down(clusters: Path) -> None:
    assert _command("up", "--real").returncode == 0
    namespaces = _pid_namespaces(clusters / "real")
    os.kill(json.loads(_command("status", "--real", "-o", "json").stdout)["owner_pid"], signal.SIGKILL)
    _wait_nothing_left(clusters / "real", namespaces)

    up = _command("up", "--real", "--hollow", "1")
    assert up.returncode == 0, up.stderr
    try:
        description = json.loads(_command("status", "--real", "-o", "json").stdout)
        assert (description["healthy"], description["real"]) == (True, 1)
        assert description["nodes"] == [{"name": name, "ready": True} for name in ("hollow-1", "real-1")]
        assert attach("real").real_nodes == ["real-1"]
        more = _command("up", "--nodes", "2")
        assert (more.returncode, "up already and has 1 real nodes" in more.stderr) == (1, True)
        namespaces = _pid_namespaces(clusters / "real")
    finally:
        down = _command("down", "--real")
    assert (down.returncode, down.stdout) == (0, "cluster real has ended\n")
    _wait_nothing_left(clusters / "real", namespaces)
    assert (list(clusters.iterdir()), _groups(clusters / "real")) == ([], [])
