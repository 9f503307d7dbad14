"""README's first command as users run it: to its end, interrupted, killed, and on a user's cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tools.auditlog import KEEP
from tools.demo import account, manifests, moments
from tools.localcluster import LocalCluster, accounts
from tools.toolchain import ensure

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
CONTEXT = "moorage"
MADE = (
    "/api/v1/nodes",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles?labelSelector=moorage.dev/demo",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings?labelSelector=moorage.dev/demo",
    "/api/v1/namespaces?labelSelector=moorage.dev/demo",
)


@pytest.fixture
def clusters(tmp_path: Path) -> Path:
    """A folder of our own for cluster state: its path on a command line or in an environment names our processes."""
    ensure(["demo"])
    return tmp_path / "clusters"


@dataclass(frozen=True)
class Told:
    """A demo that has exited, and what was left of it at that time."""

    code: int
    output: str
    story: str
    processes: list[str]
    folders: list[Path]


TASKW = ("./taskw", "demo", "--")


def start(clusters: Path, *arguments: str, command: Sequence[str] = TASKW, **environment: str) -> subprocess.Popen[str]:
    """``./taskw demo`` in a session of its own, as a terminal would start it."""
    return subprocess.Popen(
        [*command, *arguments],
        cwd=ROOT,
        env={**os.environ, "MOORAGE_CLUSTERS_DIR": str(clusters), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def processes_of(clusters: Path) -> Iterator[str]:
    """Every running process whose environment carries our folder."""
    mark = f"MOORAGE_CLUSTERS_DIR={clusters}".encode()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if (
                    mark in (process / "environ").read_bytes().split(b"\0")
                    or str(clusters).encode() in (process / "cmdline").read_bytes()
                ):
                    state = (process / "stat").read_text().rpartition(")")[2].split()[0]
                    if state != "Z":
                        yield f"{process.name} {(process / 'comm').read_text().strip()}"
            except OSError:
                continue


def folders_in(clusters: Path) -> list[Path]:
    """Cluster state left on disk, apart from logs kept on purpose."""
    return [path for path in clusters.iterdir() if path.name != "failed"] if clusters.exists() else []


def wait_until_nothing_is_left(clusters: Path) -> None:
    end = time.monotonic() + PATIENCE
    while left := list(processes_of(clusters)):
        assert time.monotonic() < end, f"still running: {left}"
        time.sleep(0.25)  # a look at every process of this machine is not cheap


def told(process: subprocess.Popen[str], clusters: Path) -> Told:
    """Wait until the demo has ended by itself."""
    output, story = process.communicate(timeout=PATIENCE * 3)
    return Told(process.returncode, output, story, list(processes_of(clusters)), folders_in(clusters))


def read_until(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        if words in line:
            return
        said.append(line)
    raise AssertionError(f"the demo ended without saying {words!r}:\n{''.join(said)}")


# --- on a control plane of its own ---

# Every second moment each: an end by Ctrl-C and one by SIGKILL meet the same state, and each start costs a cluster.
INTERRUPTED = ["starting etcd", "all Pending", "pods pinned"]
KILLED = ["control plane ready", "placeholder Nodes exist", "switched on"]


@pytest.fixture(scope="module")
def after_kills(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """A demo that was killed some times in the same folder, and then was left in peace."""
    ensure(["demo"])
    folder = tmp_path_factory.mktemp("killed")
    clusters = folder / "clusters"
    for moment in KILLED:  # each start finds what the last one left
        process = start(clusters)
        read_until(process, moment)
        process.kill()
        process.communicate(timeout=PATIENCE)
        wait_until_nothing_is_left(clusters)
    # A cluster that only KUBECONFIG names is never used: this one does not even exist.
    return told(start(clusters, "-o", "json", KUBECONFIG=str(folder / "kubeconfig")), clusters)


def test_the_demo_ends_with_a_checked_outcome(after_kills: Told) -> None:
    story = after_kills.story
    assert after_kills.code == 0, story
    outcome = json.loads(after_kills.output)
    assert outcome["ok"]
    assert outcome["problems"] == []
    assert outcome["shape"] == moments.expected()
    assert len(outcome["placement"]) == outcome["pods"] == 60
    assert outcome["nodes"] == 12
    assert outcome["as_bought"] == 60
    assert outcome["alone"]["pods"] == 60
    assert outcome["alone"]["as_bought"] + outcome["alone"]["pending"] < 60, "who chooses alone chooses otherwise"
    beside = f"Moorage 60 of 60 pods, kube-scheduler alone {outcome['alone']['as_bought']} of 60"
    assert f"on the node that was bought for them: {beside}" in story
    assert "\x1b[" not in story, "colours are for terminals"
    assert story.index("60 pods pinned, and still no machine") < story.index("is switched on")
    assert after_kills.processes == []
    assert after_kills.folders == []
    logs = Path(os.environ[KEEP]).glob("own-*/audit.log")  # what the guard of the run will read
    assert any(accounts.user(manifests.NAMESPACE, account.CHART) in log.read_text() for log in logs)


def test_kill_9_leaves_nothing_and_the_next_start_works(after_kills: Told) -> None:
    assert after_kills.code == 0, after_kills.story
    assert after_kills.folders == [], "stale folders are removed"


def test_ctrl_c_ends_everything_and_says_so(clusters: Path) -> None:
    for moment in INTERRUPTED:
        process = start(clusters)
        read_until(process, moment)
        os.killpg(process.pid, signal.SIGINT)
        _, rest = process.communicate(timeout=PATIENCE)

        assert process.returncode == 130, moment
        assert "interrupted" in rest, moment
        assert "Traceback" not in rest, moment
        wait_until_nothing_is_left(clusters)
        assert folders_in(clusters) == [], moment


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--nonsense",), "usage:"),
        (("--yes",), "only --context asks"),
        (("--context", "x", "--kill", "pinner"), "own cluster"),
        (("--kill", "pinner", "--at", "-1"), "not below 0"),
    ],
)
def test_a_wrong_option_is_answered_with_the_right_ones(clusters: Path, arguments: tuple[str, ...], words: str) -> None:
    process = start(clusters, *arguments)
    _, story = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert words in story
    assert "Traceback" not in story


# --- on a cluster of the user's ---


@pytest.fixture(scope="module")
def users() -> Iterator[LocalCluster]:
    """A user's cluster with some objects."""
    with LocalCluster() as cluster:
        cluster.start_hollow_kubelet("somebodys")
        cluster.wait_node_ready("somebodys")
        yield cluster


def made(cluster: LocalCluster) -> list[str]:
    """Everything in a cluster of the kinds that a demo makes."""
    items: list[dict[str, Any]] = [item for path in MADE for item in cluster.api.get(path)["items"]]
    return [item["metadata"]["name"] for item in items]


def on(users: LocalCluster, clusters: Path, *arguments: str) -> subprocess.Popen[str]:
    return start(clusters, "--context", CONTEXT, *arguments, KUBECONFIG=str(users.kubeconfig))


@dataclass(frozen=True)
class Removal:
    """What was in the users' cluster after a killed demo, after a no, and after the demo that was then played."""

    killed: list[str]
    declined: Told
    kept: list[str]
    played: Told
    left: list[str]


@pytest.fixture(scope="module")
def removal(users: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Removal:
    """A demo is killed. The next one must not remove what it has left. The one after that must."""
    clusters = tmp_path_factory.mktemp("removal") / "clusters"
    # The demo itself: when only the task runner is killed, the demo notices and removes everything.
    itself = (sys.executable, "-m", "tools.demo")
    process = start(clusters, "--context", CONTEXT, "--yes", command=itself, KUBECONFIG=str(users.kubeconfig))
    read_until(process, "pods pinned")
    process.kill()
    process.communicate(timeout=PATIENCE)
    wait_until_nothing_is_left(clusters)
    killed = made(users)
    declined = told(on(users, clusters), clusters)
    kept = made(users)
    played = told(on(users, clusters, "--yes", "-o", "json"), clusters)
    wait_until_nothing_is_left(clusters)
    return Removal(killed, declined, kept, played, made(users))


def test_an_existing_cluster_is_as_before_after_the_demo(users: LocalCluster, removal: Removal) -> None:
    played = removal.played
    assert played.code == 0, played.story
    assert json.loads(played.output)["ok"]
    assert "This will create in the cluster at " + users.server in played.story
    assert removal.left == ["somebodys"]


def test_what_a_killed_demo_left_behind_is_offered_for_removal(removal: Removal) -> None:
    assert len(removal.killed) > 1
    assert removal.declined.code == 1
    assert "An earlier demo has left behind" in removal.declined.story
    assert len(removal.kept) > 1, "nothing is removed without a yes"
    assert removal.played.code == 0, removal.played.story
    assert removal.left == ["somebodys"]


def test_a_killed_task_runner_does_not_keep_the_demo_from_tidying_up(users: LocalCluster, clusters: Path) -> None:
    process = on(users, clusters, "--yes")
    read_until(process, "pods pinned")
    process.kill()
    process.communicate(timeout=PATIENCE)
    wait_until_nothing_is_left(clusters)
    assert made(users) == ["somebodys"]


def test_nothing_is_created_without_a_yes(users: LocalCluster, clusters: Path) -> None:
    process = on(users, clusters)
    _, story = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "use --yes to go ahead; nothing was changed" in story
    assert made(users) == ["somebodys"]


def test_ctrl_c_on_an_existing_cluster_removes_what_was_made(users: LocalCluster, clusters: Path) -> None:
    for moment in ("all Pending", "switched on"):  # one before, one after the machines exist
        process = on(users, clusters, "--yes")
        read_until(process, moment)
        os.killpg(process.pid, signal.SIGINT)
        _, rest = process.communicate(timeout=PATIENCE * 3)
        assert process.returncode == 130, rest
        assert "interrupted" in rest, moment
        assert "Traceback" not in rest, moment
        assert made(users) == ["somebodys"], moment
        wait_until_nothing_is_left(clusters)
        assert folders_in(clusters) == [], moment


def test_a_namespace_that_is_somebody_elses_is_left_alone(users: LocalCluster, clusters: Path) -> None:
    users.api.request("POST", "/api/v1/namespaces", {"metadata": {"name": "moorage-demo"}})
    try:
        process = on(users, clusters, "--yes")
        _, story = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        assert "it is not the demo's" in story
        assert users.api.get("/api/v1/namespaces/moorage-demo")["status"]["phase"] == "Active"
    finally:
        users.api.request("DELETE", "/api/v1/namespaces/moorage-demo")


def test_a_context_that_does_not_exist_is_a_sentence(users: LocalCluster, clusters: Path) -> None:
    process = start(clusters, "--context", "nobodys", "--yes", KUBECONFIG=str(users.kubeconfig))
    _, story = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "there is no context 'nobodys'" in story
    assert "Traceback" not in story
