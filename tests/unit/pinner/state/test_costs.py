"""One change costs what it touches, however large the cluster is: shown by the number of Python's instructions."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, cast

import msgspec
import pytest
from msgspec.structs import replace

from moorage.cluster.daemons import DaemonSet, DaemonSetSpec
from moorage.kube.unreadable import Unreadable, outline
from moorage.objects import (
    Container,
    CsiNode,
    KubeObject,
    Namespace,
    Node,
    NodeStatus,
    ObjectMeta,
    OwnerReference,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    PodSpec,
    PodStatus,
    PodTemplate,
    ResourceRequirements,
    StorageClass,
    VolumeAttachment,
)
from moorage.objects.node import NodeSpec
from moorage.objects.pod import Volume
from moorage.ops.slices import at_once
from moorage.pinner.decisions.sweeps import Sweeps
from moorage.pinner.names import FINALIZER, PREPARING_TAINT, RESERVATION_ANNOTATION
from moorage.pinner.state.caches import Caches
from moorage.pinner.state.cluster import ClusterState
from moorage.reservations import NodeReservation, Owner, Slot, SlotReservation, Spec, merging
from tests.unit.pinner.model import BROUGHT, DEADLINE, NOW, PROMISE

SMALL, LARGE = 12, 36
"""Nodes; each has as many pods, volumes and attachments in either."""
PODS = 4
DAEMONS = 3


def node(number: int) -> Node:
    late = number % 4 == 3
    meta = ObjectMeta(name=f"n{number}", labels={"zone": f"z{number % 3}"})
    if late:
        return Node(metadata=meta, spec=NodeSpec(provider_id=f"p{number}"))
    meta = replace(meta, annotations={RESERVATION_ANNOTATION: f"uid-n{number}"})
    status = NodeStatus(allocatable=PROMISE.allocatable)
    return Node(metadata=meta, spec=NodeSpec(taints=(PREPARING_TAINT,)), status=status)


def reservation(number: int) -> NodeReservation:
    """A placeholder's, or one that waits for a machine that does not come; with pods that are expected."""
    slots = (Slot(owner=Owner(namespace=f"ns{number}", kind="Deployment", name="app"), requests={"cpu": "1"}, count=2),)
    promise = replace(BROUGHT, provider_id=f"none-{number}") if number % 4 == 3 else PROMISE
    spec = Spec(promise=promise, deadline=DEADLINE, expected_until=DEADLINE, slots=slots)
    stored = msgspec.json.decode(msgspec.json.encode(merging.changes(None, spec)))
    meta = ObjectMeta(name=f"n{number}", uid=f"uid-n{number}", finalizers=(FINALIZER,))
    return NodeReservation(metadata=meta, spec=stored)


def pod(number: int) -> Pod:
    owner = OwnerReference("apps/v1", "ReplicaSet", "app-77cf8d6f4b", f"rs{number}", controller=True)
    volume = msgspec.convert({"name": "v", "persistentVolumeClaim": {"claimName": f"c{number}"}}, type=Volume)
    needs = ResourceRequirements(requests={"cpu": f"{100 + number}m"})
    return Pod(
        metadata=ObjectMeta(name=f"p{number}", namespace=f"ns{number // PODS}", owner_references=(owner,)),
        spec=PodSpec(
            node_name=f"n{number // PODS}", containers=(Container(name="m", resources=needs),), volumes=(volume,)
        ),
        status=PodStatus(phase="Running"),
    )


def daemon_set(number: int) -> DaemonSet:
    needs = ResourceRequirements(requests={"cpu": "10m"})
    template = PodTemplate(spec=PodSpec(containers=(Container(name="d", resources=needs),)))
    return DaemonSet(metadata=ObjectMeta(name=f"d{number}", namespace="ns0"), spec=DaemonSetSpec(template=template))


def of(kind: type[KubeObject], name: str, namespace: str = "", **fields: Any) -> Any:
    return msgspec.convert({"metadata": {"name": name, "namespace": namespace}, **fields}, type=kind)


def claim(number: int) -> PersistentVolumeClaim:
    """Every fourth has no volume yet, so its class decides."""
    spec = {"storageClassName": f"s{number // PODS}"} | ({"volumeName": f"v{number}"} if number % PODS else {})
    return cast(PersistentVolumeClaim, of(PersistentVolumeClaim, f"c{number}", f"ns{number // PODS}", spec=spec))


def volume(number: int) -> PersistentVolume:
    spec = {"csi": {"driver": "csi", "volumeHandle": f"h{number}"}}
    return cast(PersistentVolume, of(PersistentVolume, f"v{number}", spec=spec))


def attachment(number: int) -> VolumeAttachment:
    source = {"persistentVolumeName": f"v{number}"}
    spec = {"attacher": "csi", "nodeName": f"n{number // PODS}", "source": source}
    return cast(VolumeAttachment, of(VolumeAttachment, f"a{number}", spec=spec))


def csi_node(number: int) -> CsiNode:
    drivers = [{"name": "csi", "nodeID": "i", "allocatable": {"count": 9}}]
    return cast(CsiNode, of(CsiNode, f"n{number}", spec={"drivers": drivers}))


KINDS: dict[str, tuple[Callable[[int], KubeObject], int]] = {
    "namespaces": (lambda number: Namespace(metadata=ObjectMeta(name=f"ns{number}")), 1),
    "storage_classes": (lambda number: of(StorageClass, f"s{number}", provisioner="csi"), 1),
    "volumes": (volume, PODS),
    "claims": (claim, PODS),
    "csi_nodes": (csi_node, 1),
    "attachments": (attachment, PODS),
    "reservations": (reservation, 1),
    "slot_reservations": (lambda number: SlotReservation(metadata=ObjectMeta(name=f"n{number}")), 1),
    "nodes": (node, 1),
    "pods": (pod, PODS),
}
"""The field of the caches: how one is made, and how many there are for each node."""


class World:
    """A cluster of some nodes."""

    def __init__(self, nodes: int) -> None:
        self.caches = Caches.over(cast("Any", None))
        self._version = 0
        for field, (make, each) in KINDS.items():
            for number in range(nodes * each):
                self.put(field, make(number))
        for number in range(DAEMONS):
            self.put("daemon_sets", daemon_set(number))
        self.cluster = ClusterState(self.caches, default_profile="generic", enqueue=lambda _: None)
        at_once(self.cluster.follow())

    def put(self, field: str, thing: KubeObject) -> None:
        """The watch shows an object."""
        self._version += 1
        meta = replace(
            thing.metadata, resource_version=str(self._version), uid=thing.metadata.uid or f"uid-{thing.key}"
        )
        getattr(self.caches, field)._store(replace(thing, metadata=meta))

    def drop(self, field: str, key: str) -> None:
        """The watch shows that an object is gone."""
        getattr(self.caches, field)._remove(key)


def instructions(work: Callable[[], object]) -> int:
    """How many of Python's instructions something takes.

    Since Python 3.12 traces of frames miss most of them: a code object is counted from its second call on at best.
    """
    if sys.version_info >= (3, 12):
        return _monitored(work)
    count = 0

    def trace(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal count
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


if sys.version_info >= (3, 12):

    def _monitored(work: Callable[[], object]) -> int:
        """The same, counted by ``sys.monitoring``."""
        monitoring, tool, count = sys.monitoring, 4, 0  # no debugger, coverage, profiler or optimizer has this number

        def note(_code: CodeType, _offset: int) -> None:
            nonlocal count
            count += 1

        monitoring.use_tool_id(tool, __name__)
        try:
            monitoring.register_callback(tool, monitoring.events.INSTRUCTION, note)
            monitoring.set_events(tool, monitoring.events.INSTRUCTION)
            work()
        finally:
            monitoring.set_events(tool, 0)
            monitoring.register_callback(tool, monitoring.events.INSTRUCTION, None)
            monitoring.free_tool_id(tool)
        return count


def touched(thing: KubeObject) -> KubeObject:
    """The same object after a change that says nothing to us."""
    meta = replace(thing.metadata, annotations={**thing.metadata.annotations, "moorage.dev/touched": "yes"})
    return replace(thing, metadata=meta)


def labelled(thing: KubeObject) -> KubeObject:
    """The same object with another label."""
    return replace(thing, metadata=replace(thing.metadata, labels={**thing.metadata.labels, "new": "yes"}))


NUMBER = 7  # its node waits for nobody, and its reservation for a machine


def changes(world: World, field: str) -> dict[str, Callable[[], None]]:
    """What can happen to an object, one after the other."""
    make, each = KINDS[field]
    thing = make(NUMBER * each)
    return {
        "touched": lambda: world.put(field, touched(thing)),
        "labelled": lambda: world.put(field, labelled(thing)),
        "gone": lambda: world.drop(field, thing.key),
        "new": lambda: world.put(field, thing),
    }


def costs(nodes: int, field: str) -> dict[str, int]:
    world = World(nodes)
    for change in changes(world, field).values():
        change()  # what is made at first sight
    return {name: instructions(change) for name, change in changes(world, field).items()}


@pytest.mark.parametrize("field", sorted(KINDS))
def test_a_change_costs_what_it_touches(field: str) -> None:
    small, large = costs(SMALL, field), costs(LARGE, field)
    assert small["new"] > 100  # it is followed at all
    for name, count in large.items():
        assert count <= small[name] * 1.1 + 50, f"{field} {name}: {small[name]} instructions, {count} among more nodes"


@pytest.mark.parametrize("field", sorted(set(KINDS) - {"reservations", "slot_reservations"}))
def test_what_cannot_be_read_costs_what_it_touches(field: str) -> None:
    def cost(nodes: int) -> int:
        world = World(nodes)
        make, each = KINDS[field]
        thing = make(NUMBER * each)
        cache, reason = getattr(world.caches, field), "odd"
        known = cache.get(thing.key)
        rest, fields = outline(known)
        item = Unreadable(known.key, known.metadata.uid, "9999", reason, rest, fields)

        def unread() -> None:
            cache._keep_known(item)
            cache._keep_known(dataclasses.replace(item, resource_version="10000"))
            world.put(field, known)

        unread()
        return instructions(unread)

    small, large = cost(SMALL), cost(LARGE)
    assert large <= small * 1.1 + 50


def test_a_look_at_a_node_costs_what_is_on_it() -> None:
    def cost(nodes: int) -> int:
        world = World(nodes)
        sweeps = Sweeps(10, lambda: 0.0)

        def looks() -> None:
            for number in (NUMBER, NUMBER + 1):
                world.cluster.observe(f"n{number}", NOW, confirmed=False, sweeps=sweeps)

        looks()
        return instructions(looks)

    small, large = cost(SMALL), cost(LARGE)
    assert large <= small * 1.1 + 50


def test_the_status_of_a_daemon_set_costs_nothing() -> None:
    def cost(nodes: int, change: Callable[[DaemonSet], KubeObject]) -> int:
        world = World(nodes)
        return instructions(lambda: world.put("daemon_sets", change(daemon_set(0))))

    small, large = (cost(nodes, touched) for nodes in (SMALL, LARGE))
    assert large <= small * 1.1

    def other(one: DaemonSet) -> DaemonSet:
        spec = replace(one.spec.template.spec, host_network=True)
        return replace(one, spec=DaemonSetSpec(template=replace(one.spec.template, spec=spec)))

    assert cost(LARGE, other) > 10 * large  # its template decides on every placeholder
