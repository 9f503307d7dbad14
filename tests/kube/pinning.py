"""A pinner without a stream on a real cluster: it gets instructions directly, and its answers are recorded."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from moorage.kube import credentials, errors, resources
from moorage.kube.cache import WatchCache
from moorage.kube.client import Client
from moorage.kube.events import EventType, ObjectRef
from moorage.kube.http.transport import Transport
from moorage.objects import KubeObject, Node, Pod, Taint
from moorage.pinner.options import Options
from moorage.pinner.state.caches import Caches
from moorage.pinner.term import Term
from moorage.protocol import (
    Ack,
    Action,
    CreatePlaceholder,
    Instruction,
    Outcome,
    PinPods,
    PodRef,
    Position,
    Promise,
)
from moorage.reservations import NodeReservation
from tests.kube import identity
from tests.kube.support import PATIENCE, eventually, pod
from tools.localcluster import ClusterHandle

CRDS = Path(__file__).parents[2] / "schemas" / "crds"
POOL = "moorage.test/pool"
ROOM = {"cpu": "1", "memory": "3840Mi", "pods": "20"}
NODE_INFO = (
    "architecture",
    "bootID",
    "containerRuntimeVersion",
    "kernelVersion",
    "kubeProxyVersion",
    "kubeletVersion",
    "machineID",
    "operatingSystem",
    "osImage",
    "systemUUID",
)
"""What a kubelet says of its machine."""
QUICK = Options(settle_delay=0.1, lease_interval=2.0, retry_cap=2.0)


class Records:
    """Events that would have been written."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str, str]] = []

    def record(
        self,
        regarding: ObjectRef,
        *,
        type: EventType,
        reason: str,
        action: str,
        note: str,
        related: ObjectRef | None = None,
    ) -> None:
        assert type in ("Normal", "Warning")
        assert action
        assert related is None or related.kind == "Node"
        self.seen.append((regarding.kind, regarding.name, reason, note))

    def of(self, name: str) -> list[str]:
        """The reasons of all Events about an object."""
        return [reason for _, regarding, reason, _ in self.seen if regarding == name]

    def note(self, name: str, reason: str) -> str:
        """What the last such Event says."""
        return [note for _, regarding, why, note in self.seen if (regarding, why) == (name, reason)][-1]


class Lines(logging.Handler):
    """The pinner's log lines with their fields."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def with_message(self, message: str, *, node: str = "") -> list[dict[str, Any]]:
        """The fields of all lines with this message; only those about a node, because other tests leave some behind."""
        found = [vars(record) for record in self.records if record.getMessage() == message]
        return [line for line in found if not node or line.get("node") == node]


class Administrator(Client):
    """Policies that allow everything. Pinners beside it have the chart's rights.

    Args:
        cluster: where.
        transport: the administrator's.
        lives: closes the connections of the pinners.
    """

    def __init__(self, cluster: ClusterHandle, transport: Transport, lives: AsyncExitStack) -> None:
        super().__init__(transport)
        self._cluster = cluster
        self._lives = lives

    async def pinner(self) -> Client:
        """The access of another pinner, with an account of its own: its requests do not count as repetitions."""
        account = credentials.load(await asyncio.to_thread(identity.pinner, self._cluster))
        transport = await self._lives.enter_async_context(Transport(account))
        transport.clock = self.transport.clock
        return Client(transport)


class Driver:
    """Hands instructions to a pinner and waits for their answers.

    Args:
        client: the API server.
        is_leader: whether the pinner leads.
    """

    epoch = 1

    def __init__(self, client: Client, options: Options = QUICK) -> None:
        assert isinstance(client, Administrator), "of `connected`"
        self.client = client
        self.options = options
        self.acks: list[Ack] = []
        self.records = Records()
        self.lines = Lines()
        self.leading = True
        self._sequence = 0
        self._pinner: Term | None = None
        self._caches: Caches | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.sent: dict[str, Instruction] = {}

    @property
    def pinner(self) -> Term:
        assert self._pinner is not None
        return self._pinner

    @property
    def caches(self) -> Caches:
        assert self._caches is not None
        return self._caches

    async def start(self, client: Client | None = None) -> None:
        """Begin, or begin anew as another replica would."""
        writer = client or await self.client.pinner()
        if self._caches is None:  # they outlive a writer that is to die
            watcher = writer if client is None else await self.client.pinner()
            self._caches = Caches.over(watcher.transport)
        self._pinner = Term(
            writer,
            self.caches,
            self.records,
            self.client.transport.clock,
            lambda: self.leading,
            self.options,
            acks=self.acks.append,
        )
        if not self._tasks:
            self._tasks.append(asyncio.create_task(self.caches.run()))
        await self.caches.wait_synced()
        self._tasks.append(asyncio.create_task(self._pinner.run()))
        logging.getLogger("moorage.pinner").addHandler(self.lines)
        logging.getLogger("moorage.pinner").setLevel(logging.INFO)

    async def kill(self) -> None:
        """End the pinner wherever it is."""
        task = self._tasks.pop()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def stop(self) -> None:
        """End everything."""
        logging.getLogger("moorage.pinner").removeHandler(self.lines)
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for result in results:
            if isinstance(result, Exception):
                raise result

    def send(
        self,
        action: Action,
        *,
        seconds: float = 120.0,
        id: str = "",
        epoch: int | None = None,
        sequence: int | None = None,
    ) -> str:
        """Hand an instruction in; returns its id."""
        self._sequence += 1
        now = self.client.transport.clock.now()
        position = Position(self.epoch if epoch is None else epoch, sequence or self._sequence)
        name = id or f"i-{self._sequence}"
        instruction = Instruction(name, position, now, now + timedelta(seconds=seconds), action, plan="test-plan")
        self.sent[name] = instruction
        self.pinner.submit(instruction)
        return name

    def resend(self) -> None:
        """Hand in everything again that has no final answer, as a planner does after a reconnect."""
        final = {ack.instruction_id for ack in self.acks if ack.outcome.final}
        for name, instruction in self.sent.items():
            if name not in final:
                self.pinner.submit(instruction)

    async def answer(self, instruction: str) -> Ack:
        """The final answer to an instruction."""

        async def final() -> Ack | None:
            for task in self._tasks:
                if task.done():
                    task.result()
            return next((a for a in self.acks if a.instruction_id == instruction and a.outcome.final), None)

        return await eventually(final, f"the answer to {instruction}; so far {self.acks}")

    async def sees(self, cache: WatchCache[Any], obj: KubeObject) -> None:
        """Wait for the pinner's watch to bring an object in this version or a later one.

        A pinner decides by its caches: without this, an answer that depends on the object may come first.
        """

        async def seen() -> bool | None:
            cached = cache.get(obj.key)
            wanted = int(obj.metadata.resource_version)
            return True if cached is not None and int(cached.metadata.resource_version) >= wanted else None

        await eventually(seen, f"the pinner to see {obj.key}")

    async def do(self, action: Action, **how: Any) -> Ack:
        """Hand an instruction in and wait for its final answer."""
        return await self.answer(self.send(action, **how))


@asynccontextmanager
async def connected(cluster: ClusterHandle) -> AsyncIterator[Client]:
    """Administrator's access, with our kinds defined."""
    install(cluster)
    async with Transport(credentials.load(cluster.kubeconfig)) as transport, AsyncExitStack() as lives:
        yield Administrator(cluster, transport, lives)
    # Ten watches and dozens of writers end at once; their TLS goodbyes need the loop once more.
    await asyncio.sleep(0.05)


def install(cluster: ClusterHandle) -> None:
    """Define NodeReservations and SlotReservations in the cluster, once."""
    for plural in ("nodereservations", "slotreservations"):
        define(cluster, plural)


def define(cluster: ClusterHandle, plural: str, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
    """Define a kind of Moorage in the cluster if it is not defined, with changes if given."""
    definition = yaml.safe_load((CRDS / f"{plural}.moorage.dev.yaml").read_text())
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    change(definition)
    name = definition["metadata"]["name"]
    if name not in {item["metadata"]["name"] for item in cluster.api.get(path)["items"]}:
        cluster.api.request("POST", path, definition)
    deadline = time.monotonic() + PATIENCE
    while "Established" not in _true_conditions(cluster.api.get(f"{path}/{name}")):
        assert time.monotonic() < deadline, f"{name} is not served"
        time.sleep(0.05)


def _true_conditions(definition: Mapping[str, Any]) -> set[str]:
    conditions = definition.get("status", {}).get("conditions") or ()
    return {condition["type"] for condition in conditions if condition["status"] == "True"}


@asynccontextmanager
async def driver(client: Client, options: Options = QUICK) -> AsyncIterator[Driver]:
    """A running pinner."""
    made = Driver(client, options)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def promise(
    name: str,
    pool: str = "",
    *,
    room: Mapping[str, str] = ROOM,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Taint] = (),
    **more: Any,
) -> CreatePlaceholder:
    """The promise of a node like a hollow kubelet's."""
    wanted = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", POOL: pool or name, **(labels or {})}
    return CreatePlaceholder(Promise(name, dict(room), wanted, tuple(taints), **more))


def template(app: str, pool: str, *, cpu: str = "100m", **spec: Any) -> dict[str, Any]:
    """A pod template that only a node of the pool takes."""
    made = pod(app, cpu=cpu, nodeSelector={POOL: pool}, **spec)
    return {"metadata": {"labels": {"app": app}}, "spec": made["spec"]}


async def replicas(client: Client, app: str, namespace: str, count: int, pool: str, **spec: Any) -> list[Pod]:
    """A ReplicaSet's pods, pending because no node of their pool is there."""
    body = {
        "metadata": {"name": app},
        "spec": {
            "replicas": count,
            "selector": {"matchLabels": {"app": app}},
            "template": template(app, pool, **spec),
        },
    }
    await client.create(resources.REPLICA_SETS, body, namespace)
    return await pods_of(client, app, namespace, count)


async def pods_of(client: Client, app: str, namespace: str, count: int) -> list[Pod]:
    """So many pods of an application, once they are there."""

    async def there() -> list[Pod] | None:
        found = await client.list(resources.PODS, namespace, labels=f"app={app}")
        return sorted(found, key=lambda p: p.key) if len(found) == count else None

    return await eventually(there, f"{count} pods of {app}")


async def turned_down(client: Client, pod: Pod) -> None:
    """Wait until the scheduler has tried the pod and put it aside: when it fails, it takes a nomination off."""

    async def tried() -> bool:
        found = await client.get(resources.PODS, pod.metadata.name, pod.metadata.namespace)
        said = [each.message for each in found.status.conditions if each.type == "PodScheduled"]
        return any(message.startswith("0/") for message in said)

    await eventually(tried, f"the scheduler to try {pod.key}")


def refs(pods: Sequence[Pod]) -> tuple[PodRef, ...]:
    """The pods as an instruction names them."""
    return tuple(PodRef(p.metadata.namespace, p.metadata.name, p.metadata.uid) for p in pods)


def pin(node: str, pods: Sequence[Pod]) -> PinPods:
    """Pin these pods."""
    return PinPods(node, refs(pods))


def outcomes(ack: Ack) -> dict[str, tuple[Outcome, str]]:
    """Outcome and reason of each pod, by the pod's name."""
    return {result.pod.name: (result.outcome, result.reason.name) for result in ack.pods}


async def node_gone(client: Client, name: str) -> None:
    """Wait until there is no such Node."""
    await _gone(client, resources.NODES, name)


async def reservation_gone(client: Client, name: str) -> None:
    """Wait until there is no such reservation."""
    await _gone(client, resources.NODE_RESERVATIONS, name)


async def _gone(client: Client, resource: Any, name: str) -> None:
    async def probe() -> bool | None:
        try:
            await client.get(resource, name)
        except errors.NotFound:
            return True
        return None

    await eventually(probe, f"{resource.kind} {name} to be gone")


async def reservation_where(
    client: Client, name: str, condition: Callable[[NodeReservation], bool], what: str
) -> NodeReservation:
    """The reservation once it is there and the condition holds."""

    async def probe() -> NodeReservation | None:
        try:
            found = await client.get(resources.NODE_RESERVATIONS, name)
        except errors.NotFound:
            return None
        return found if condition(found) else None

    return await eventually(probe, f"reservation {name}: {what}")


async def maybe(client: Client, name: str) -> Node | None:
    """A Node, or None."""
    try:
        return await client.get(resources.NODES, name)
    except errors.NotFound:
        return None


def lease_time(lease: Any) -> datetime:
    """renewTime of a Lease."""
    return datetime.fromisoformat(lease.spec.renew_time)
