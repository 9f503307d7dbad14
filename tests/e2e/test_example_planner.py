"""``examples/planner`` by its README: generated, started, and used by a real pod pinner."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from moorage.controller import certificates
from moorage.kube import credentials, resources
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.protocol import Hello, Instruction, Position, ServerMessage, SnapshotEnd, Welcome, codec, rpc
from moorage.protocol.rpc import grpc
from tests.e2e.test_pod_pinner import KEY, NAMESPACE, PATIENCE, Pinner, define, pinners
from tests.kube import identity, pinning
from tests.kube.support import eventually, pod_where
from tools.localcluster import ClusterHandle, accounts
from tools.localcluster.ports import free_ports

__all__ = ["pinners"]  # a fixture

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "examples" / "planner"
ALLOWED = {"grpc", "kubernetes", "pinning_pb2", "pinning_pb2_grpc"}
LEAST = [
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
]

NodeName = Callable[..., str]


def commands() -> list[str]:
    """The commands of its README, one a line."""
    blocks = re.findall(r"```sh\n(.*?)```", (SOURCE / "README.md").read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example in a checkout, with the generated files of README's command."""
    checkout = tmp_path_factory.mktemp("checkout")
    shutil.copytree(SOURCE, checkout / "examples" / "planner", ignore=shutil.ignore_patterns("pinning_pb2*"))
    (checkout / "schemas").symlink_to(ROOT / "schemas")
    (generate,) = [line for line in commands() if "grpc_tools" in line]
    made = checkout / "examples" / "planner"
    subprocess.run([sys.executable, *generate.split()[1:]], cwd=made, check=True, timeout=PATIENCE)
    return made


class Example:
    """The running planner, and its output."""

    def __init__(self, folder: Path, out: Path, *arguments: str, **environment: str) -> None:
        (port,) = free_ports(1)
        self.address, self.out = f"127.0.0.1:{port}", out
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with out.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "planner.py", *arguments],
                cwd=folder,
                env={**kept, "PLANNER_LISTEN": self.address, "PLANNER_API_KEY": KEY, **environment},
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    async def until_it_listens(self) -> None:
        """Fail with its output if it has exited."""
        host, _, port = self.address.rpartition(":")

        async def listens() -> bool:
            assert self.process.poll() is None, self.out.read_text()
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), PATIENCE):
                return True
            return False

        await eventually(listens, "the example to listen")

    def answers(self, hello: Hello, *, key: str = KEY, count: int = 9) -> list[ServerMessage | None]:
        """The first messages that come after a Hello; a heartbeat, or the end, ends them."""
        with grpc.insecure_channel(self.address) as channel:
            ask: Any = channel.stream_stream(rpc.PATH)
            call = ask(
                iter([codec.encode_request(hello)]), metadata=((rpc.API_KEY, f"Bearer {key}"),), timeout=PATIENCE
            )
            found = [codec.decode_response(data) for _, data in zip(range(count), call, strict=False)]
            call.cancel()
        return found


@pytest.fixture
def examples(folder: Path, tmp_path: Path) -> Iterator[Callable[..., Example]]:
    started: list[Example] = []

    def start(*arguments: str, **environment: str) -> Example:
        started.append(Example(folder, tmp_path / f"planner-{len(started)}.log", *arguments, **environment))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


@pytest.fixture
async def client(cluster: ClusterHandle) -> Any:
    async with Transport(credentials.load(cluster.kubeconfig)) as transport:
        yield Client(transport)


def reader(cluster: ClusterHandle, namespace: str) -> str:
    """A kubeconfig with no other rights than those that README names."""
    accounts.grant(cluster, accounts.user(namespace, "example"), "example", LEAST, within=namespace)
    return str(accounts.service_account(cluster, namespace, "example", cluster.directory / f"accounts-{namespace}"))


async def deployment(client: Client, namespace: str, pool: str) -> list[Any]:
    """Three pods of a Deployment that wait for a node of the pool."""
    spec = {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": pinning.template("web", pool),
    }
    await client.create(resources.DEPLOYMENTS, {"metadata": {"name": "web"}, "spec": spec}, namespace)
    return await pinning.pods_of(client, "web", namespace, 3)


def test_it_is_short_and_needs_nothing_of_ours() -> None:
    text = (SOURCE / "planner.py").read_text()
    assert len(text.splitlines()) <= 100
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
    }
    assert imported - set(sys.stdlib_module_names) == ALLOWED
    for line in (SOURCE / "requirements.txt").read_text().splitlines():
        wanted = Requirement(line)
        assert wanted.specifier.contains(metadata.version(wanted.name)), f"tested with another version than {line}"


async def test_pods_run_on_the_promised_node_though_pinners_come_and_go(
    client: Client,
    cluster: ClusterHandle,
    namespace: str,
    node_name: NodeName,
    tmp_path: Path,
    examples: Callable[..., Example],
    pinners: list[Pinner],
) -> None:
    define(cluster)
    name = node_name()
    pods = await deployment(client, namespace, name)
    for file, content in certificates.fill(datetime.now(UTC), ["127.0.0.1"], "example").items():
        (tmp_path / file).write_bytes(content)
    arguments = (f"{namespace}/web", name, f"{pinning.POOL}={name}")
    example = examples(*arguments, KUBECONFIG=reader(cluster, namespace), PLANNER_TLS=str(tmp_path))
    await example.until_it_listens()

    lease = f"example-{namespace}"
    kubeconfig = identity.pinner(cluster, namespace=NAMESPACE, lease=lease)
    flags = ("--planner-address", example.address, "--planner-ca-file", str(tmp_path / "ca.crt"))

    def start_pinner() -> Pinner:
        logs = tmp_path / f"pinner-{len(pinners)}"
        logs.mkdir()
        pinners.append(Pinner(logs, kubeconfig, lease, *flags))
        return pinners[-1]

    first = start_pinner()
    for each in pods:
        await pod_where(client, each.metadata.name, namespace, lambda p: p.spec.node_name == name, "bound")
    first.end(signal.SIGTERM)
    second = start_pinner()
    second.until("planner has welcomed us")
    cluster.start_hollow_kubelet(name)

    async def ended() -> bool:
        return example.process.poll() is not None

    await eventually(ended, "the example to end")
    output = example.out.read_text()
    assert example.process.returncode == 0, output
    states = re.findall("state: NODE_STATE_(.*)", output)
    assert states[0] == "PLACEHOLDER"
    assert states[-1] == "READY"
    assert "cpu: 4000m promised, 1000m there" in output
    assert output.count("outcome: OUTCOME_APPLIED\nreason: REASON_CODE_OK") == 2
    assert "Traceback" not in output
    for each in pods:
        ran = await pod_where(client, each.metadata.name, namespace, lambda p: p.status.phase == "Running", "Running")
        assert (ran.spec.node_name, ran.metadata.uid) == (name, each.metadata.uid)


async def test_it_keeps_the_protocol(
    client: Client, cluster: ClusterHandle, namespace: str, examples: Callable[..., Example]
) -> None:
    pods = await deployment(client, namespace, "nowhere")
    example = examples(f"{namespace}/web", "nowhere", KUBECONFIG=reader(cluster, namespace))
    await example.until_it_listens()

    (shown,) = example.answers(Hello("c", "r", "v", probe=True))
    assert isinstance(shown, Welcome)
    epoch = shown.position.epoch
    welcome, create, pin, end = example.answers(Hello("c", "r", "v"), count=4)
    assert isinstance(welcome, Welcome)
    assert (welcome.position, welcome.snapshot) == (Position(epoch, 0), True)
    assert isinstance(create, Instruction)
    assert isinstance(pin, Instruction)
    assert {ref.uid for ref in pin.action.pods} == {each.metadata.uid for each in pods}  # type: ignore[union-attr]
    assert end == SnapshotEnd(Position(epoch, 2), 2)
    assert example.answers(Hello("c", "r", "v", Position(epoch, 1)), count=2)[1:] == [pin]

    with pytest.raises(grpc.RpcError) as refused:
        example.answers(Hello("c", "r", "v"), key="wrong")
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with pytest.raises(grpc.RpcError) as refused:
        example.answers(Hello("c", "r", "v", Position(epoch + 1, 0)))
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
