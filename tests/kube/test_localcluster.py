"""The local cluster itself: it is real, two can run, and nothing of it is left running."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kube import owners
from tools.localcluster import ClusterError, ClusterHandle, ClusterOptions, LocalCluster, attach, host
from tools.localcluster.api import ApiClient, ApiError
from tools.localcluster.binaries import oldest
from tools.localcluster.components import SCHEDULER, Ports
from tools.localcluster.process import signal_exactly, start_time
from tools.localcluster.state import ClusterState, Lock, keep_failed_logs, remove_stale


@pytest.fixture
def clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of clusters of its own, for this process and those it starts."""
    monkeypatch.setenv("MOORAGE_CLUSTERS_DIR", str(tmp_path / "clusters"))
    return tmp_path / "clusters"


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    """Whatever a test did, no process that knows its folder outlives it."""
    yield
    owners.wait_gone(tmp_path)


def _pod(name: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "example.test/nothing:1"}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


def _wait_running(cluster: ClusterHandle, namespace: str, name: str) -> dict[str, Any]:
    deadline = time.monotonic() + owners.HANG
    while True:
        pod: dict[str, Any] = cluster.api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")
        if pod["status"]["phase"] == "Running":
            return pod
        assert time.monotonic() < deadline, pod["status"]
        time.sleep(0.05)


def _command(*arguments: str, name: str = "cli") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.localcluster", *arguments[:1], name, *arguments[1:]]
    return subprocess.run(command, cwd=owners.REPOSITORY, capture_output=True, text=True, check=False)


# What it gives -------------------------------------------------------------------------------------------


def test_credentials_and_files(cluster: ClusterHandle, namespace: str) -> None:
    assert cluster.api.get("/version")["gitVersion"] == ("v1.33.13" if oldest() else "v1.36.3")
    for secret in (cluster.kubeconfig, cluster.directory / "pki" / "ca.key", cluster.directory / "cluster.json"):
        assert secret.stat().st_mode & 0o077 == 0, secret
    with pytest.raises(ApiError) as refused:
        ApiClient(cluster.server, cluster.ca_file, None).get("/api/v1/namespaces")
    assert refused.value.status in (401, 403)
    assert f'"/api/v1/namespaces/{namespace}' in cluster.audit_log.read_text()


def test_hollow_kubelet_runs_pods_as_its_own_identity(
    cluster: ClusterHandle, namespace: str, node_name: Callable[..., str]
) -> None:
    name = node_name()
    cluster.start_hollow_kubelet(
        name, extended_resources={"nvidia.com/gpu": 1}, node_labels={"tier": "test"}, max_pods=20
    )
    node = cluster.wait_node_ready(name)
    capacity = node["status"]["capacity"]
    assert {key: capacity[key] for key in ("cpu", "memory", "pods", "nvidia.com/gpu")} == {
        "cpu": "1",
        "memory": "3840Mi",
        "pods": "20",
        "nvidia.com/gpu": "1",
    }
    assert node["metadata"]["labels"]["tier"] == "test"
    tolerate = [{"operator": "Exists"}]
    body = _pod("one", nodeSelector={"kubernetes.io/hostname": name}, tolerations=tolerate)
    cluster.api.request("POST", f"/api/v1/namespaces/{namespace}/pods", body)
    assert _wait_running(cluster, namespace, "one")["spec"]["nodeName"] == name
    assert f'"username":"system:node:{name}"' in cluster.audit_log.read_text()


def test_hollow_kubelets_that_cannot_start_name_their_log(
    cluster: ClusterHandle, node_name: Callable[..., str]
) -> None:
    name = node_name()
    with pytest.raises(ClusterError, match=f"node-{name}.log") as failure:
        cluster.start_hollow_kubelet(name, register_with_taints=["not a taint"])
    assert failure.value.logs == cluster.logs


def test_kwok_nodes_run_pods(cluster: ClusterHandle, namespace: str, node_name: Callable[..., str]) -> None:
    cluster.start_kwok()
    prefix = node_name()
    names = cluster.create_kwok_nodes(3, cpu="7", memory="9Gi", prefix=prefix, labels={"pool": prefix})
    assert names == [f"{prefix}-{index}" for index in range(3)]
    for name in names:
        assert cluster.wait_node_ready(name)["status"]["allocatable"]["cpu"] == "7"
    body = _pod("one", nodeSelector={"pool": prefix}, tolerations=[{"operator": "Exists"}])
    cluster.api.request("POST", f"/api/v1/namespaces/{namespace}/pods", body)
    assert _wait_running(cluster, namespace, "one")["spec"]["nodeName"] in names


def test_options_reach_the_components(clusters: Path) -> None:
    options = ClusterOptions(
        bind_address="0.0.0.0",  # noqa: S104 - what real kubelets' pods need
        advertise_address="10.77.0.1",
        extra_sans=("moorage.test",),
        flow_control=False,
        scheduler=False,
        controller_manager_flags={"node-monitor-grace-period": "41s"},
    )
    with LocalCluster("options", options=options) as cluster:
        slices = cluster.api.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices")["items"]
        assert [s["endpoints"][0]["addresses"] for s in slices] == [["10.77.0.1"]]
        with pytest.raises(ClusterError, match="has no component kube-scheduler"):
            cluster.component_pid(SCHEDULER)
        commands = "\n".join(owners.processes_below(cluster.directory).values())
        assert "--node-monitor-grace-period=41s" in commands
        assert "--enable-priority-and-fairness=false" in commands


# What happens when a start goes wrong ----------------------------------------------------------------------


def test_taken_port_is_replaced(clusters: Path, monkeypatch: pytest.MonkeyPatch, cluster: ClusterHandle) -> None:
    taken = int(cluster.server.rpartition(":")[2])
    choices = [Ports(taken, *list(vars(Ports.choose()).values())[1:]), Ports.choose()]
    monkeypatch.setattr(Ports, "choose", lambda: choices.pop(0))
    said: list[str] = []
    with LocalCluster("taken", progress=said.append) as other:
        assert other.server != cluster.server
    assert choices == []
    assert any("trying again with other ports" in line for line in said)


def test_failed_start_keeps_and_names_its_logs(clusters: Path) -> None:
    with pytest.raises(ClusterError) as failure:
        LocalCluster("bad", options=ClusterOptions(apiserver_flags={"no-such-flag": "1"})).start()
    kept = failure.value.logs
    assert kept is not None
    assert kept.parent == clusters / "failed"
    assert str(kept / "kube-apiserver.log") in str(failure.value)
    assert "unknown flag: --no-such-flag" in (kept / "kube-apiserver.log").read_text()
    assert "unknown flag: --no-such-flag" in str(failure.value)
    assert not (clusters / "bad").exists()


def test_logs_of_the_last_five_failures_are_kept(clusters: Path) -> None:
    kept = []
    for index in range(7):
        logs = clusters / f"failing-{index}" / "logs"
        logs.mkdir(parents=True)
        (logs / "etcd.log").write_text(str(index))
        kept.append(keep_failed_logs(logs.parent))
        os.utime(kept[-1], (index, index))  # the clock of a file system may be too coarse to tell them apart
    assert sorted((clusters / "failed").iterdir()) == sorted(kept[2:])


def test_name_in_use_is_refused(clusters: Path) -> None:
    lock = Lock.take(clusters / "used")
    assert lock is not None
    with pytest.raises(ClusterError, match="a cluster used runs already"):
        LocalCluster("used").start()
    lock.release()


@pytest.mark.parametrize("name", ["failed", "../up", "", "Caps", "a" * 41])
def test_impossible_names_are_refused(clusters: Path, name: str) -> None:
    with pytest.raises(ClusterError, match="cannot name a cluster"):
        attach(name)


def test_stale_folders_are_removed_and_live_ones_kept(clusters: Path) -> None:
    stale = clusters / "stale"
    (stale / "etcd").mkdir(parents=True)
    ClusterState("stale", "library", 1, 1).write(stale)
    (clusters / ".trash-abc").mkdir()
    live = Lock.take(clusters / "live")
    assert live is not None
    assert remove_stale() == ["stale"]
    assert sorted(path.name for path in clusters.iterdir()) == ["live"]
    live.release()


def test_real_nodes_are_refused_where_they_cannot_be(
    clusters: Path, cluster: ClusterHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ClusterError, match=r"no network for real nodes.*cluster:up -- --real"):
        cluster.start_real_node("node")
    with pytest.raises(ClusterError, match="no real node node runs; these do: none"):
        cluster.run_on_node("node", ["true"])
    monkeypatch.setattr(host, "missing", lambda _purpose: "it is not my day")
    with pytest.raises(ClusterError, match="real nodes cannot run on this machine: it is not my day"):
        LocalCluster("real", options=ClusterOptions(real=1)).start()
    assert not (clusters / "real").exists()


# What is left of it: nothing -------------------------------------------------------------------------------


def test_killed_owner_leaves_nothing_and_the_next_start_works(clusters: Path) -> None:
    directory = clusters / "killed"
    with owners.owner(["-c", owners.OWNER, "killed"], os.environ) as process:
        owners.read_until(process, "RUNNING")
        assert len(owners.processes_below(directory)) == 5  # four components and a kubelet
        owners.kill(process)
    owners.wait_gone(directory)
    assert directory.exists()
    with LocalCluster("killed") as cluster:
        assert cluster.api.get("/api/v1/nodes")["items"] == []
    assert not directory.exists()


def test_interrupted_owner_leaves_nothing(clusters: Path) -> None:
    with owners.owner(["-c", owners.OWNER, "interrupted"], os.environ) as process:
        owners.read_until(process, "starting etcd")
        owners.kill(process, signal.SIGINT)
    assert processes_and_folder(clusters / "interrupted") == ({}, False)


def processes_and_folder(directory: Path) -> tuple[dict[int, str], bool]:
    return owners.processes_below(directory), directory.exists()


def test_end_at_any_moment_of_the_start_leaves_nothing_and_the_next_start_works(clusters: Path) -> None:
    seed = random.randrange(1_000_000)
    moments = random.Random(seed)
    for number in 2 * [signal.SIGKILL, signal.SIGINT, signal.SIGTERM]:
        delay = moments.uniform(0, 4)
        with owners.owner(["-c", owners.OWNER, "moment"], os.environ) as process:
            time.sleep(delay)
            owners.kill(process, number)
        owners.wait_gone(clusters / "moment")
        print(f"seed {seed}: signal {number} after {delay:.2f} s left nothing")
    with LocalCluster("moment") as cluster:
        assert cluster.is_healthy
    assert list(clusters.iterdir()) == []


def test_unprivileged_user_can_have_one(cluster: ClusterHandle) -> None:
    # Not below tmp_path, which is closed to other users.
    with tempfile.TemporaryDirectory(prefix="moorage-home-") as folder:
        home = Path(folder)
        python, user, environment = owners.unprivileged(home, cluster.tools)
        with owners.owner(["-c", owners.OWNER, "plain"], environment, user=user, python=python) as process:
            owners.read_until(process, "RUNNING")
            uids = {Path(f"/proc/{pid}").stat().st_uid for pid in owners.processes_below(home)}
            assert uids == {os.getuid() if user is None else user}
            assert 0 not in uids
            process.communicate("", timeout=owners.HANG)
            assert process.returncode == 0
        owners.wait_gone(home)


# The commands ----------------------------------------------------------------------------------------------


def test_up_status_down(clusters: Path) -> None:
    assert _command("status").returncode == 3
    up = _command("up")
    assert up.returncode == 0, up.stderr
    try:
        directory = clusters / "cli"
        assert f"export KUBECONFIG={directory / 'kubeconfig'}" in up.stdout
        again = _command("up")
        assert (again.returncode, "already up" in again.stdout) == (0, True)
        seen = _command("status", "-o", "json")
        description = json.loads(seen.stdout)
        assert (seen.returncode, description["healthy"], description["nodes"]) == (0, True, [])
        assert attach("cli").server == description["server"]

        attach("cli").kill(SCHEDULER)
        broken = _command("status")
        assert broken.returncode == 4
        assert f"end of {directory / 'logs' / 'kube-scheduler.log'}" in broken.stdout
        assert _command("up").returncode == 1
    finally:
        down = _command("down")
    assert (down.returncode, down.stdout) == (0, "cluster cli has ended\n")
    assert processes_and_folder(directory) == ({}, False)
    assert _command("down").returncode == 0


def test_interrupted_up_leaves_nothing(clusters: Path) -> None:
    with owners.owner(["-m", "tools.localcluster", "up", "cli"], os.environ) as process:
        owners.read_until(process, "starting etcd")
        assert owners.kill(process, signal.SIGINT) == 130
    assert processes_and_folder(clusters / "cli") == ({}, False)


def test_killed_up_leaves_nothing(clusters: Path) -> None:
    with owners.owner(["-m", "tools.localcluster", "up", "cli"], os.environ) as process:
        owners.read_until(process, "starting etcd")
        owners.kill(process)
    owners.wait_gone(clusters / "cli")


def test_failed_up_says_why_and_where_the_logs_are(
    clusters: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MOORAGE_CLUSTERS_DIR", str(tmp_path / "file"))
    up = _command("up")
    assert up.returncode == 1
    assert "set MOORAGE_CLUSTERS_DIR to another folder" in up.stderr
    assert "Traceback" not in up.stderr


def test_killed_supervisor_leaves_nothing(clusters: Path) -> None:
    assert _command("up").returncode == 0
    description = json.loads(_command("status", "-o", "json").stdout)
    os.kill(description["owner_pid"], signal.SIGKILL)
    owners.wait_gone(clusters / "cli")
    assert _command("status").returncode == 3
    assert _command("down").returncode == 0
    assert not (clusters / "cli").exists()


def test_down_refuses_the_cluster_of_another_program(clusters: Path) -> None:
    lock = Lock.take(clusters / "cli")
    assert lock is not None
    ClusterState("cli", "library", os.getpid(), start_time(os.getpid()) or 0).write(clusters / "cli")
    down = _command("down")
    assert down.returncode == 1
    assert f"belongs to process {os.getpid()}" in down.stderr
    lock.release()


def test_recycled_pid_is_never_signalled() -> None:
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        started = start_time(sleeper.pid)
        assert started is not None
        assert not signal_exactly(sleeper.pid, started - 1, signal.SIGKILL)
        assert sleeper.poll() is None
        assert signal_exactly(sleeper.pid, started, signal.SIGKILL)
        assert sleeper.wait() == -signal.SIGKILL
