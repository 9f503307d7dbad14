"""A snapshot of nodes and pods that changes: fed by the watch cache, and by simulations that are undone again.

``apply`` and ``delete`` take over what the API server says. ``place``, ``remove``, ``move``, ``add_node`` and
``remove_node`` are for simulations: between ``mark`` and ``rollback`` every change is remembered and can be taken
back.

A change costs what it touches: a pod its own counters, a node its own pods. Not safe for use by several threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from moorage.objects.base import KubeObject
from moorage.objects.node import Node
from moorage.objects.pod import Pod
from moorage.objects.storage import (
    CsiNode,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    VolumeAttachment,
)
from moorage.objects.workloads import Namespace

from . import requests
from .classes import Classes
from .counters import Relations
from .nodes import NodeRecord, NodeTable
from .nominations import Nominated, Nominations, wants
from .plugins.node_ports import PortTable
from .plugins.node_resources_fit import Amounts, ResourceTable
from .plugins.node_volume_limits import Attached
from .pod_class import PodClass
from .volumes import Plan, Storage, plan

_SWEEP_FLOOR = 4096


class SnapshotError(Exception):
    """A change that makes no sense: an unknown node or pod, or news from the API server during a simulation."""


class State:
    """Everything a snapshot knows; ``snapshot.Snapshot`` adds the questions.

    Args:
        nominated: whether pods count that wait for room on the node they are nominated to.
    """

    def __init__(self, *, nominated: bool = False) -> None:
        self.nodes = NodeTable()
        self.resources = ResourceTable(self.nodes.capacity)
        self.ports = PortTable(self.nodes.capacity)
        self.storage = Storage()
        self.attached = Attached(self.nodes, self.storage)
        self.relations = Relations(self.nodes)
        self.classes = Classes(self.resources, self.relations)
        self.device_classes: set[str] = set()
        self.nominations: Nominations | None = Nominations() if nominated else None
        self._placed: dict[str, str] = {}  # pod key to node name, also of nodes that are not there (yet)
        self._waiting: dict[str, dict[str, PodClass]] = {}
        self._plans: dict[tuple[bytes, bool], Plan] = {}
        self._journal: list[Callable[[], None]] = []
        self._marks = 0
        self._sweep_at = _SWEEP_FLOOR

    # ---- news from the API server

    def apply(self, thing: KubeObject) -> None:
        """Take over an object as the API server has it; kinds that do not matter for placement are ignored.

        Args:
            thing: a Node, Pod, Namespace, PersistentVolume, PersistentVolumeClaim, StorageClass, CsiNode or
                VolumeAttachment.

        Raises:
            SnapshotError: a simulation is under way.
        """
        self._no_simulation()
        if isinstance(thing, Pod):
            node = "" if thing.finished else thing.spec.node_name
            self._set_pod(thing.key, self.classes.of(thing) if node else None, node)
            if self.nominations is not None:
                self._nominate(thing, self.nominations)
        elif isinstance(thing, Node):
            self._set_node(thing)
        elif isinstance(thing, Namespace):
            self.relations.set_namespace(thing.metadata.name, thing.metadata.labels)
        else:
            self._set_storage(type(thing), thing.key, thing)
        if len(self.relations.classes) > self._sweep_at:
            self.sweep()

    def delete(self, kind: type[KubeObject], key: str) -> None:
        """Forget an object.

        Args:
            kind: its class, for example ``Pod``.
            key: ``namespace/name``, or the name alone when cluster-scoped.

        Raises:
            SnapshotError: a simulation is under way.
        """
        self._no_simulation()
        if kind is Pod:
            self._set_pod(key, None, "")
            if self.nominations is not None:
                self.nominations.drop(key)
        elif kind is Node:
            if key in self.nodes.slots:
                self._drop_node(key)
        elif kind is Namespace:
            self.relations.set_namespace(key, None)
        else:
            self._set_storage(kind, key, None)

    def set_device_classes(self, resources: set[str]) -> None:
        """Take over which extended resources device classes may provide: a lack of them is "unknown", not "no"."""
        self.device_classes = set(resources)

    # ---- simulations

    def mark(self) -> int:
        """Start remembering changes; give the result to ``rollback`` or ``release``."""
        self._marks += 1
        return len(self._journal)

    def rollback(self, mark: int) -> None:
        """Take back every change since ``mark``, the last one first."""
        while len(self._journal) > mark:
            self._journal.pop()()
        self._marks -= 1

    def release(self, mark: int) -> None:
        """Keep the changes since ``mark``; an outer mark can still take them back."""
        self._marks -= 1
        if not self._marks:
            del self._journal[mark:]

    @contextmanager
    def trial(self) -> Iterator[None]:
        """A block whose changes are all taken back at its end."""
        mark = self.mark()
        try:
            yield
        finally:
            self.rollback(mark)

    def place(self, pod: Pod, node: str, *, key: str | None = None) -> None:
        """Put a pod on a node, whether it fits or not; a pod that is somewhere already is moved.

        Args:
            pod: the pod.
            node: the node's name.
            key: the key to know it by; None: its own. Replacements of a pod need keys of their own.

        Raises:
            SnapshotError: there is no such node.
        """
        slot = self.nodes.slots.get(node)
        if slot is None:
            raise SnapshotError(f"cannot place pod {pod.key}: there is no node {node}")
        one = self.classes.of(pod)
        name = pod.key if key is None else key
        if name in self._placed:
            self._change_pod(name, one, node)
        else:
            self._add_pod(name, one, node, slot)

    def remove(self, key: str) -> None:
        """Take a pod off its node; one that is on no node is left alone.

        Args:
            key: ``namespace/name``.
        """
        if key in self._placed:
            self._change_pod(key, None, "")

    def move(self, key: str, node: str) -> None:
        """Move a pod that is on a node to another one.

        Args:
            key: ``namespace/name``.
            node: the other node's name.

        Raises:
            SnapshotError: the pod is on no node, or there is no such node.
        """
        if key not in self._placed or node not in self.nodes.slots:
            raise SnapshotError(f"cannot move pod {key} to node {node}: both must be there")
        self._change_pod(key, self._class_at(key), node)

    def add_node(self, node: Node) -> None:
        """Add a node, or change one, as if the API server had said so."""
        old = self.nodes.slots.get(node.metadata.name)
        before = None if old is None else self.nodes.record(old).node
        self._set_node(node)
        if self._marks:
            undo = self._drop_node if before is None else None
            name = node.metadata.name
            self._journal.append((lambda: undo(name)) if undo else (lambda: self._set_node(before or node)))

    def remove_node(self, name: str) -> None:
        """Take a node away; its pods count nowhere until it is back.

        Raises:
            SnapshotError: there is no such node.
        """
        slot = self.nodes.slots.get(name)
        if slot is None:
            raise SnapshotError(f"cannot remove node {name}: there is no such node")
        node = self.nodes.record(slot).node
        self._drop_node(name)
        if self._marks:
            self._journal.append(lambda: self._set_node(node))

    def withhold(self, amounts: Mapping[str, Amounts]) -> None:
        """Keep back a part of what nodes have left, for no pod in particular.

        Args:
            amounts: by resource, in its units, one number per slot.

        Raises:
            SnapshotError: no simulation is under way that could give it back.
        """
        if not self._marks:
            raise SnapshotError("room is kept back in simulations only")
        for name, units in amounts.items():
            row = self.resources.row(name)
            self.resources.free[row] -= units
            self._journal.append(partial(self._give_back, row, units))

    def _give_back(self, row: int, units: Amounts) -> None:
        self.resources.free[row][: len(units)] += units

    # ---- looking

    def node_of(self, key: str) -> str | None:
        """The node a pod is on, or None."""
        node = self._placed.get(key)
        return node if node in self.nodes.slots else None

    def pods_on(self, node: str) -> list[str]:
        """The keys of the pods on a node."""
        slot = self.nodes.slots.get(node)
        return [] if slot is None else list(self.nodes.record(slot).pods)

    def sizes(self) -> dict[str, int]:
        """How much is in the snapshot, for metrics: nodes, pods, classes, facets, spreads."""
        return {
            "nodes": len(self.nodes.slots),
            "pods": len(self._placed),
            "classes": len(self.relations.classes),
            "facets": self.classes.facets,
            "spreads": len(self.relations.spreads),
        }

    # ---- classes

    def sweep(self) -> None:
        """Forget what no pod and no recent question needs; during a simulation nothing, which may bring it back."""
        if self._marks:
            return
        waiting = {one for pods in self._waiting.values() for one in pods.values()}
        self.classes.sweep(waiting | self.nominations.classes if self.nominations is not None else waiting)
        self._plans.clear()
        self._sweep_at = max(_SWEEP_FLOOR, 2 * len(self.relations.classes))

    def plan_of(self, one: PodClass, *, elsewhere: bool = False) -> Plan:
        """What the class's volumes come to at the moment, or those of a pod that is to replace one of it."""
        found = self._plans.get((one.key, elsewhere))
        if found is None or found.version != self.storage.version:
            if one.volumes is None:
                raise ValueError("a class without volumes has no plan")
            found = self._plans[one.key, elsewhere] = plan(one.volumes, self.storage, anew=elsewhere)
        return found

    # ---- pods

    def _class_at(self, key: str) -> PodClass:
        node = self._placed[key]
        slot = self.nodes.slots.get(node)
        return self._waiting[node][key] if slot is None else self.nodes.record(slot).pods[key]

    def _add_pod(self, key: str, one: PodClass, node: str, slot: int) -> None:
        self._put(key, one, node, slot)
        if self._marks:
            self._journal.append(lambda: self._lift(key))

    def _change_pod(self, key: str, one: PodClass | None, node: str) -> None:
        before = (self._class_at(key), self._placed[key]) if key in self._placed else (None, "")
        self._set_pod(key, one, node)
        if self._marks:
            self._journal.append(lambda: self._set_pod(key, *before))

    def _set_pod(self, key: str, one: PodClass | None, node: str) -> None:
        if key in self._placed:
            if one is not None and self._placed[key] == node and self._class_at(key) is one:
                return
            self._lift(key)
        if one is not None:
            self._put(key, one, node, self.nodes.slots.get(node))

    def _nominate(self, pod: Pod, nominations: Nominations) -> None:
        node = wants(pod)
        if node:
            nominations.put(node, Nominated(pod.key, pod.spec.priority or 0, self.classes.of(pod)))
        else:
            nominations.drop(pod.key)

    def _put(self, key: str, one: PodClass, node: str, slot: int | None) -> None:
        self._placed[key] = node
        if slot is None:
            self._waiting.setdefault(node, {})[key] = one
        else:
            self.nodes.record(slot).pods[key] = one
            self._count(one, slot, 1)

    def _lift(self, key: str) -> None:
        node = self._placed.pop(key)
        slot = self.nodes.slots.get(node)
        if slot is None:
            waiting = self._waiting[node]
            del waiting[key]
            if not waiting:
                del self._waiting[node]
        else:
            self._count(self.nodes.record(slot).pods.pop(key), slot, -1)

    def _count(self, one: PodClass, slot: int, sign: int) -> None:
        left = one.where.get(slot, 0) + sign
        if left:
            one.where[slot] = left
        else:
            del one.where[slot]
        self.resources.use(slot, one.usage, sign)
        for counter in one.counters:
            counter.add(slot, sign)
        if one.ports:
            self.ports.use(slot, one.ports, sign)
        if one.unreadable:
            self.resources.use_unreadable(slot, sign)
        if one.volumes is not None:
            self.attached.count(one, one.volumes, slot, sign)

    # ---- nodes

    def _set_node(self, node: Node) -> None:
        record = NodeRecord(node, *requests.allocatable(node.status.allocatable))
        slot = self.nodes.slots.get(record.name)
        if slot is None:
            slot, grown = self.nodes.take(record.name)
            if grown:
                self.resources.grow(self.nodes.capacity)
                self.ports.grow(self.nodes.capacity)
                self.attached.grow(self.nodes.capacity)
            self._fill(slot, None, record)
            self.attached.set_limits(slot, self.storage.csi_nodes.get(record.name))
            for key, one in self._waiting.pop(record.name, {}).items():
                self._put(key, one, record.name, slot)
            return
        old = self.nodes.record(slot)
        record.pods = old.pods
        if old.same_place(record):
            self.nodes.records[slot] = record
            self.resources.offer(slot, old, record)
            return
        for one in old.pods.values():
            self._count(one, slot, -1)
        self._fill(slot, old, record)
        for one in record.pods.values():
            self._count(one, slot, 1)

    def _fill(self, slot: int, old: NodeRecord | None, record: NodeRecord) -> None:
        self.nodes.fill(slot, record)
        self.resources.offer(slot, old, record)
        for count in self.relations.spreads.values():
            count.node_changed(slot)

    def _drop_node(self, name: str) -> None:
        slot = self.nodes.slots[name]
        record = self.nodes.record(slot)
        for one in record.pods.values():
            self._count(one, slot, -1)
        if record.pods:
            self._waiting[name] = record.pods
        self.resources.offer(slot, record, None)
        self.attached.set_limits(slot, None)
        self.nodes.clear(slot)
        for count in self.relations.spreads.values():
            count.node_changed(slot)

    # ---- storage

    def _set_storage(self, kind: type[KubeObject], key: str, thing: KubeObject | None) -> None:
        storage = self.storage
        if kind is PersistentVolumeClaim:
            storage.put_claim(key, thing if isinstance(thing, PersistentVolumeClaim) else None)
            self.attached.resolve({key})
        elif kind is PersistentVolume:
            _replace(storage.volumes, key, thing if isinstance(thing, PersistentVolume) else None)
            self.attached.resolve(set(storage.claims_of.get(key, ())))
            for name in {a.spec.node_name for a in storage.attachments.values()} & self.nodes.slots.keys():
                self.attached.recount(self.nodes.slots[name])
        elif kind is StorageClass:
            _replace(storage.classes, key, thing if isinstance(thing, StorageClass) else None)
            self.attached.resolve_all()
        elif kind is CsiNode:
            csi_node = thing if isinstance(thing, CsiNode) else None
            _replace(storage.csi_nodes, key, csi_node)
            if key in self.nodes.slots:
                self.attached.set_limits(self.nodes.slots[key], csi_node)
        elif kind is VolumeAttachment:
            for name in storage.put_attachment(key, thing if isinstance(thing, VolumeAttachment) else None):
                if name in self.nodes.slots:
                    self.attached.recount(self.nodes.slots[name])
        else:
            return
        storage.version += 1

    def _no_simulation(self) -> None:
        if self._marks:
            raise SnapshotError("news from the API server must wait until the simulation is rolled back or released")


Thing = TypeVar("Thing", bound=KubeObject)


def _replace(things: dict[str, Thing], key: str, thing: Thing | None) -> None:
    if thing is None:
        things.pop(key, None)
    else:
        things[key] = thing
