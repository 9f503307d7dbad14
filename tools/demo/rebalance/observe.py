"""Reads every revision of the demo's objects, and turns changes into events."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from moorage.kube import resources
from moorage.kube.cache import Change, WatchCache
from moorage.kube.http.transport import Transport
from moorage.kube.watch import Selection
from moorage.objects import Lease, MutatingWebhookConfiguration, Node, ObjectMeta, Pod
from moorage.objects.quantity import milli
from moorage.pinner.names import CLAIM_ANNOTATION, PIN_ANNOTATION
from moorage.reservations import NodeReservation, Owner, Pin, Slot, Spec, read, rules
from tools.demo import manifests
from tools.demo.common.events import Event
from tools.demo.common.following import Followed, following
from tools.demo.common.pods import PodObserver
from tools.demo.common.stage import Stage
from tools.demo.evictor.observe import node_state as going
from tools.demo.observe import node_state as coming
from tools.demo.programs import LEASE

from .events import Coming, Failed, Going, LeaderSeen, NewSeen, Nominated, OldSeen, SlotsSeen, WebhookSeen
from .scenario import Scenario, Target
from .settings import WEBHOOK
from .state import State


class Observer:
    """The caches, and the events from their changes.

    Args:
        transport: connections to the API server.
        stage: receives the events.
        scenario: the old and the new nodes.
        replicas: names of the pinner's replicas, by the URL of their webhook.
    """

    def __init__(
        self, transport: Transport, stage: Stage[State], scenario: Scenario, replicas: Mapping[str, str]
    ) -> None:
        lease = Selection(namespace=manifests.NAMESPACE, fields=f"metadata.name={LEASE}")
        webhook = Selection(fields=f"metadata.name={WEBHOOK}")
        self.nodes = WatchCache(transport, resources.NODES)
        self._pods = PodObserver(transport, stage, manifests.NAMESPACE, self._pod)
        self._reservations = WatchCache(transport, resources.NODE_RESERVATIONS)
        self._lease = WatchCache(transport, resources.LEASES, selection=lease)
        self._webhook = WatchCache(transport, resources.MUTATING_WEBHOOKS, selection=webhook)
        self._stage = stage
        self._old = frozenset(scenario.old)
        self._slots = {target.name: expected(target, scenario) for target in scenario.targets}
        self._replicas = replicas
        self._switched_on: set[str] = set()
        self._said: dict[object, object] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the API server while the context is open."""
        async with following(
            Followed(self.nodes, self._node),
            *self._pods.followed,
            Followed(self._reservations, self._reservation),
            Followed(self._lease, self._holder),
            Followed(self._webhook, self._asked),
        ):
            yield

    def switched_on(self, name: str) -> None:
        """A machine was started for this node."""
        self._switched_on.add(name)
        if (node := self.nodes.get(name)) is not None:
            self._new(name, coming(node, switched_on=True))

    # --- the events of each kind ---

    def _node(self, change: Change[Node]) -> None:
        node, name = change.object, change.object.metadata.name
        if name in self._old:
            state = Going.DELETED if change.new is None else going(node)
            cpu, ready = milli(node.status.allocatable.get("cpu", "0")), node.ready
            told = (state, cpu, ready)
            self._tell(name, told, lambda at: OldSeen(at=at, node=name, state=state, cpu=cpu, ready=ready))
        elif change.new is None:
            self._new(name, Coming.GONE)
        else:
            self._new(name, coming(node, switched_on=name in self._switched_on))

    def _new(self, name: str, state: Coming) -> None:
        self._tell(name, state, lambda at: NewSeen(at=at, node=name, state=state))

    def _pod(self, change: Change[Pod]) -> None:
        pod = change.object
        if pod.status.phase == "Failed" and pod.metadata.deletion_timestamp is None:
            name = pod.metadata.name
            self._tell(pod.metadata.uid, True, lambda at: Failed(at=at, pod=name))
        node = pod.spec.node_name
        if node in self._slots:
            by = filled(self._slots[node], [each for each in self._pods.pods if each.spec.node_name == node])
            self._tell(("slots", node), by, lambda at: SlotsSeen(at=at, node=node, **by._asdict()))

    def _reservation(self, change: Change[NodeReservation]) -> None:
        name, (spec, _) = change.object.metadata.name, read(change.object)
        ours = {nomination.uid for nomination in spec.nominations}
        for pin in spec.pins:
            if pin.uid in ours:
                self._nominated(pin, name)

    def _nominated(self, pin: Pin, node: str) -> None:
        self._tell(("nominated", pin.uid), node, lambda at: Nominated(at=at, pod=pin.name, node=node))

    def _holder(self, change: Change[Lease]) -> None:
        holder = (change.object.spec.holder_identity or "") if change.new is not None else ""
        replica = holder.partition("_")[0]
        self._tell("leader", replica, lambda at: LeaderSeen(at=at, replica=replica))

    def _asked(self, change: Change[MutatingWebhookConfiguration]) -> None:
        webhooks = change.new.webhooks if change.new is not None else ()
        replica = next((self._replicas.get(str(each["clientConfig"].get("url")), "?") for each in webhooks), "")
        self._tell("webhook", replica, lambda at: WebhookSeen(at=at, replica=replica))

    def _tell(self, key: object, what: object, event: Callable[[float], Event]) -> None:
        """Emit an event only if it differs from the last one."""
        if self._said.get(key) != what:
            self._said[key] = what
            self._stage.take(event(self._stage.elapsed))


def expected(target: Target, scenario: Scenario) -> Spec:
    """The events from a reservation: pods that are expected on a node of the plan."""
    cpu = {app.name: app.cpu for app in scenario.apps}
    return Spec(
        slots=tuple(
            Slot(Owner("Deployment", name, manifests.NAMESPACE), {"cpu": f"{cpu[name]}m"}, count)
            for name, count in target.slots.items()
        )
    )


class Filled(NamedTuple):
    """The number of filled slots of a node, by what filled them.

    The scheduler placed a steered pod, because the webhook made it prefer the node. ``moorage pins`` counts it as the
    scheduler's.
    """

    webhook: int
    steered: int
    binding: int
    scheduler: int


def filled(spec: Spec, pods: Iterable[Pod]) -> Filled:
    """What filled the slots of a node that has these pods."""
    by = Counter(_by(pod.metadata) for _, there in rules.slots_filled(spec.slots, pods) for pod in there)
    return Filled(*(by[name] for name in Filled._fields))


def _by(meta: ObjectMeta) -> str:
    pinned, claimed = PIN_ANNOTATION in meta.annotations, CLAIM_ANNOTATION in meta.annotations
    if pinned:
        return "webhook" if claimed else "binding"
    return "steered" if claimed else "scheduler"
