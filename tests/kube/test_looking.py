"""``moorage status`` and ``moorage top`` on a real control plane with a working pinner, as users run them."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from moorage.cli.parser import PLUGIN
from moorage.kube import resources
from moorage.kube.client import Client
from moorage.ops.settings import PINNER_LEASE
from moorage.pinner.commands import cleanup
from moorage.planner.instruction_store import InstructionStore
from moorage.protocol import PinPods
from tests.kube import identity, pinning
from tests.kube.accounts import account
from tests.kube.support import eventually
from tests.kube.test_pinner_service import running
from tools.localcluster import ClusterHandle
from tools.localcluster.binaries import binaries

ROOT = Path(__file__).parents[2]
NodeName = Callable[..., str]
READ = [
    {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["moorage.dev"], "resources": ["nodereservations", "slotreservations"], "verbs": ["list", "watch"]},
    {"apiGroups": ["autoscaling.cast.ai"], "resources": ["evictorconfigs"], "verbs": ["get"]},
    {
        "apiGroups": ["admissionregistration.k8s.io"],
        "resources": ["mutatingwebhookconfigurations"],
        "verbs": ["list"],
    },
]
READ_HERE = [
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get"]},
]


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


def command(kubeconfig: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MOORAGE_", "KUBE", "NO_COLOR"))}
    environment |= {"PYTHONPATH": str(ROOT / "runtime"), "TERM": "xterm-256color"}
    return [sys.executable, "-m", "moorage.cli", *arguments, "--kubeconfig", str(kubeconfig)], environment


@dataclass(frozen=True)
class Done:
    """How a command has ended."""

    code: int | None
    out: str
    err: str


async def run(kubeconfig: Path, *arguments: str) -> Done:
    """Run a command to its end; its output is no terminal."""
    words, environment = command(kubeconfig, *arguments)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, env=environment, stdout=pipe, stderr=pipe)
    out, err = await process.communicate()
    return Done(process.returncode, out.decode(), err.decode())


@dataclass(frozen=True)
class Pinned:
    """A placeholder with pods that are pinned to it."""

    node: str
    namespace: str
    owner: str


@asynccontextmanager
async def a_placeholder(client: Client, cluster: ClusterHandle, namespace: str, name: str) -> AsyncIterator[Pinned]:
    """A planner and a pinner run, and three pods are pinned to a node that has no machine."""
    pods = await pinning.replicas(client, "web", namespace, 3, name, cpu="250m")
    board = InstructionStore()
    board.start("plan", timedelta(minutes=10))
    board.issue(pinning.promise(name))
    board.issue(PinPods(name, tuple(pinning.refs(pods))))
    kubeconfig = identity.pinner(cluster, namespace=namespace, lease=PINNER_LEASE)
    async with running(board, kubeconfig, namespace, lease_name=PINNER_LEASE):

        async def all_are_bound() -> bool:
            found = await client.list(resources.PODS, namespace)
            return sum(each.spec.node_name == name for each in found) == 3

        async def state_is_told() -> bool:
            status = (await client.get(resources.NODE_RESERVATIONS, name)).status
            return isinstance(status, dict) and status.get("state") == "Placeholder"

        try:
            await eventually(all_are_bound, "three pinned pods")
            await eventually(state_is_told, "the state of the reservation")
            yield Pinned(name, namespace, f"{namespace}/web")
        finally:
            for left in await cleanup.find(client):
                if left.name == name or left.name.startswith(f"{namespace}/"):
                    await cleanup.remove(client, left)


def row_of(found: dict[str, Any], node: str) -> dict[str, Any]:
    (row,) = [each for each in found["nodes"] if each["name"] == node]
    return dict(row)


async def test_what_is_installed_and_what_runs_where_with_rights_to_read_alone(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName, tmp_path: Path
) -> None:
    reader = account(cluster, namespace, f"reader-{namespace}", tmp_path, everywhere=READ, here=READ_HERE)
    async with a_placeholder(client, cluster, namespace, node_name()) as pinned:
        done = await run(reader, "status", "-n", namespace, "-o", "json")
        found = json.loads(done.out)
        assert done.code == {"ok": 0, "attention": 1}[found["state"]], done.err
        pinner = found["parts"]["pod pinner"]
        assert pinner["summary"] == f"no Deployment in namespace {namespace}; it runs elsewhere"
        assert re.fullmatch(r"our-pod, renewed \d+s ago", pinner["facts"]["leader"])
        assert found["reservations"]["states"]["Placeholder"] >= 1
        assert found["reservations"]["placeholders"] >= 1
        assert found["reservations"]["bound"] >= 3
        assert pinned.node not in found["reservations"]["attention"]
        assert found["parts"]["evictor"]["state"] == "not installed"
        text = (await run(reader, "status", "-n", namespace)).out
        assert "our-pod, renewed" in text
        assert "\x1b" not in text

        done = await run(reader, "top", "-o", "json", "--once")
        assert done.code == 0, done.err
        row = row_of(json.loads(done.out), pinned.node)
        assert (row["state"], row["pods"]) == ("placeholder", {pinned.owner: {"pinned": 3}})
        assert row["cpu"] == {"requested": 750, "allocatable": 1000}
        picture = await run(reader, "top")  # no terminal: one picture, and the end
        assert picture.code == 0, picture.err
        (line,) = [each for each in picture.out.splitlines() if each.startswith(pinned.node[:16])]
        assert "▯▯▯" in line
        assert "0.75 of 1" in line


async def test_who_may_not_read_is_told_what_and_exit_code_2_says_that_nothing_is_known(
    cluster: ClusterHandle, namespace: str, tmp_path: Path
) -> None:
    rules = [rule for rule in READ if rule["apiGroups"] != ["moorage.dev"]]
    reader = account(cluster, namespace, f"reader-{namespace}", tmp_path, everywhere=rules, here=READ_HERE)
    done = await run(reader, "status", "-n", namespace)
    assert 'cannot list resource "nodereservations"' in done.out.replace("\n  ", " ")
    assert done.code == 2, done.out
    done = await run(tmp_path / "kubeconfig", "status", "--context", "nowhere")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("moorage status: ")

    nobody = tmp_path / "nobody"
    nobody.mkdir()
    blind = account(cluster, namespace, f"nobody-{namespace}", nobody, everywhere=[], here=[])
    done = await run(blind, "top", "--once")
    assert done.code == 1
    assert 'cannot list resource "nodes"' in done.err


class Terminal:
    """A terminal of 80 columns and 24 lines, and the command that runs in it."""

    def __init__(self, kubeconfig: Path, *arguments: str) -> None:
        self._command = command(kubeconfig, *arguments)
        self.shown = ""

    async def __aenter__(self) -> Terminal:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self._theirs = theirs
        words, environment = self._command
        self.process = await asyncio.create_subprocess_exec(
            *words, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        asyncio.get_running_loop().add_reader(self._ours, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._ours)
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)

    def _read(self) -> None:
        self.shown += os.read(self._ours, 65536).decode(errors="replace")

    def press(self, key: str) -> None:
        os.write(self._ours, key.encode())

    def settings(self) -> Sequence[Any]:
        return termios.tcgetattr(self._theirs)


async def test_the_picture_follows_the_cluster_and_q_gives_the_terminal_back(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    async with Terminal(cluster.kubeconfig, "top") as terminal:

        async def shown(words: str) -> bool:
            return words in terminal.shown

        await eventually(lambda: shown("q ends"), "the first picture")
        assert name[:16] not in terminal.shown
        async with a_placeholder(client, cluster, namespace, name):
            await eventually(lambda: shown(name[:16]), "the placeholder in the picture")
            await eventually(lambda: shown("▯"), "pinned pods in the picture")
        terminal.press("q")
        assert await asyncio.wait_for(terminal.process.wait(), 30) == 0
        await eventually(lambda: shown("\x1b[?1049l"), "the screen that was there before")
        assert terminal.settings() == terminal.before


async def test_a_command_that_is_ended_gives_the_terminal_back(cluster: ClusterHandle) -> None:
    async with Terminal(cluster.kubeconfig, "top") as terminal:

        async def shown(words: str) -> bool:
            return words in terminal.shown

        await eventually(lambda: shown("q ends"), "the first picture")
        terminal.process.terminate()
        assert await asyncio.wait_for(terminal.process.wait(), 30) == 0
        await eventually(lambda: shown("\x1b[?1049l"), "the screen that was there before")
        assert terminal.settings() == terminal.before


async def test_kubectl_finds_the_plug_in(cluster: ClusterHandle, tmp_path: Path) -> None:
    plugin = tmp_path / "bin" / PLUGIN
    plugin.parent.mkdir()
    plugin.write_text(f"#!{sys.executable}\nimport sys\nfrom moorage.cli import main\nsys.exit(main())\n")
    plugin.chmod(0o755)
    _, environment = command(cluster.kubeconfig)
    environment |= {"PATH": f"{plugin.parent}:{environment['PATH']}", "KUBECONFIG": str(cluster.kubeconfig)}
    pipe = asyncio.subprocess.PIPE
    kubectl = str(binaries(["kubectl"])["kubectl"])

    async def ours(*words: str) -> Done:
        started = await asyncio.create_subprocess_exec(
            kubectl, "moorage", *words, env=environment, stdout=pipe, stderr=pipe
        )
        out, err = await started.communicate()
        return Done(started.returncode, out.decode(), err.decode())

    done = await ours("top", "--once")
    assert done.code == 0, done.err
    assert cluster.server in done.out
    assert (await ours("pins", "--help")).out.startswith("usage: kubectl moorage pins ")
    done = await ours("pins", "--nonsense")
    assert done.code == 2
    assert done.err.startswith("kubectl moorage pins: unrecognized arguments")


async def test_there_is_an_object_for_each_change(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    words, environment = command(cluster.kubeconfig, "top", "-o", "json")
    process = await asyncio.create_subprocess_exec(*words, env=environment, stdout=asyncio.subprocess.PIPE, limit=2**24)
    assert process.stdout is not None
    try:
        first = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        name = node_name()
        assert name not in {each["name"] for each in first["nodes"]}
        await client.create(resources.NODES, {"metadata": {"name": name}})
        for _ in range(100):  # others change things, too
            found = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
            if name in {each["name"] for each in found["nodes"]}:
                break
        assert row_of(found, name)["state"] == "joining"
    finally:
        process.terminate()
        await process.wait()
