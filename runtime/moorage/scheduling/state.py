"""The state of nodes and pods that a snapshot answers from: fed by a watch, and by simulations that are undone.

``apply`` and ``delete`` take over what the API server has. ``place``, ``remove``, ``move``, ``add_node`` and
``remove_node`` belong to simulations: every change between ``mark`` and ``rollback`` is recorded and can be undone.

A change costs what it touches: a pod its own counts, a node its own pods. Not safe for use by several threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from moorage.objects.base import KubeObject
from moorage.objects.node import Node
from moorage.objects.pod import Pod
from moorage.objects.workloads import Namespace

from . import requests
from .classes import Classes
from .counters import Counters
from .nodes import NodeRecord, NodeTable
from .nominations import Nominated, Nominations, nominated_node
from .plugins.node_resources_fit import Amounts, NodeResourcesFit
from .plugins.node_volume_limits import NodeVolumeLimits
from .plugins.plugin import Plugin
from .pod_class import Plugins, PodClass
from .registry import PLUGINS
from .storage import Storage
from .volumes import Volumes

_SWEEP_FLOOR = 4096
Kind = TypeVar("Kind", bound=Plugin[PodClass])


class SnapshotError(Exception):
    """A change that makes no sense: an unknown node or pod, or an object from the API server during a simulation."""


class State:
    """Everything a snapshot knows; ``snapshot.Snapshot`` adds the questions.

    Args:
        nominated: whether nominated pods count on the node that they are nominated to.

    Attributes:
        nodes: the nodes.
        pods: the pods with their classes, by slot and key.
        plugins: the plugins with what they count.
        resources: the plugin that knows what is left of each resource.
        volume_limits: the plugin that knows how many volumes are attached.
        counters: the counts per topology domain.
        classes: the pod classes.
    """

    def __init__(self, *, nominated: bool = False) -> None:
        self.nodes = NodeTable()
        self.pods: dict[int, dict[str, PodClass]] = {}
        self.storage = Storage()
        self.volumes = Volumes(self.storage)
        self.plugins = tuple(plugin(self.nodes, self.volumes) for plugin in PLUGINS)
        self.plugin_choice = Plugins(self.plugins)
        self.resources = self._plugin(NodeResourcesFit)
        self.volume_limits = self._plugin(NodeVolumeLimits)
        self.counters = Counters(self.nodes)
        self.classes = Classes(self.resources, self.counters, self.plugin_choice)
        self.nominations: Nominations | None = Nominations() if nominated else None
        self._node_of: dict[str, str] = {}  # pod key to node name, also for nodes that do not exist (yet)
        self._without_node: dict[str, dict[str, PodClass]] = {}  # by node name: the pods of such nodes
        self._journal: list[Callable[[], None]] = []
        self._marks = 0
        self._sweep_at = _SWEEP_FLOOR

    # ---- objects from the API server

    def apply(self, thing: KubeObject) -> None:
        """Take over an object as the API server has it; kinds that scheduling does not read are ignored.

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
            self.counters.set_namespace(thing.metadata.name, thing.metadata.labels)
        else:
            self._set_storage(type(thing), thing.key, thing)
        if len(self.counters.classes) > self._sweep_at:
            self.sweep()

    def delete(self, kind: type[KubeObject], key: str) -> None:
        """Remove an object.

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
            self.counters.set_namespace(key, None)
        else:
            self._set_storage(kind, key, None)

    def set_device_classes(self, resources: set[str]) -> None:
        """Set the extended resources that device classes may provide: a lack of them is "unknown", not "no"."""
        self.resources.device_classes = set(resources)

    # ---- simulations

    def mark(self) -> int:
        """Start to record changes; give the result to ``rollback`` or ``release``."""
        self._marks += 1
        return len(self._journal)

    def rollback(self, mark: int) -> None:
        """Undo every change since ``mark``, the last one first."""
        while len(self._journal) > mark:
            self._journal.pop()()
        self._marks -= 1

    def release(self, mark: int) -> None:
        """Keep the changes since ``mark``; an outer mark can still undo them."""
        self._marks -= 1
        if not self._marks:
            del self._journal[mark:]

    @contextmanager
    def trial(self) -> Iterator[None]:
        """Undo the changes of a block at its end."""
        mark = self.mark()
        try:
            yield
        finally:
            self.rollback(mark)

    def place(self, pod: Pod, node: str, *, key: str | None = None) -> None:
        """Put a pod on a node, whether it fits or not; a pod that is on a node already is moved.

        Args:
            pod: the pod.
            node: the node's name.
            key: the key of the pod in the snapshot; None: its own. Replacements of a pod need keys of their own.

        Raises:
            SnapshotError: there is no such node.
        """
        slot = self.nodes.slots.get(node)
        if slot is None:
            raise SnapshotError(f"cannot place pod {pod.key}: there is no node {node}")
        pod_class = self.classes.of(pod)
        name = pod.key if key is None else key
        if name in self._node_of:
            self._change_pod(name, pod_class, node)
        else:
            self._add_pod(name, pod_class, node, slot)

    def remove(self, key: str) -> None:
        """Take a pod off its node; a pod that is on no node is left alone.

        Args:
            key: ``namespace/name``.
        """
        if key in self._node_of:
            self._change_pod(key, None, "")

    def move(self, key: str, node: str) -> None:
        """Move a pod that is on a node to another one.

        Args:
            key: ``namespace/name``.
            node: the other node's name.

        Raises:
            SnapshotError: the pod is on no node, or there is no such node.
        """
        if key not in self._node_of or node not in self.nodes.slots:
            raise SnapshotError(f"cannot move pod {key} to node {node}: both must be there")
        self._change_pod(key, self._class_of(key), node)

    def add_node(self, node: Node) -> None:
        """Add or change a node, as if the API server had it so."""
        old = self.nodes.slots.get(node.metadata.name)
        before = None if old is None else self.nodes.record(old).node
        self._set_node(node)
        if self._marks:
            undo = self._drop_node if before is None else None
            name = node.metadata.name
            self._journal.append((lambda: undo(name)) if undo else (lambda: self._set_node(before or node)))

    def remove_node(self, name: str) -> None:
        """Remove a node; its pods count nowhere until it is back.

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
        """Keep a part of what nodes have left, for no pod in particular.

        Args:
            amounts: by resource, in its units, one number per slot.

        Raises:
            SnapshotError: no simulation is under way that could undo it.
        """
        if not self._marks:
            raise SnapshotError("room is kept back in simulations only")
        for name, units in amounts.items():
            row = self.resources.row(name)
            self.resources.free[row] -= units
            self._journal.append(partial(self._give_back, row, units))

    def _give_back(self, row: int, units: Amounts) -> None:
        self.resources.free[row][: len(units)] += units

    # ---- contents

    def node_of(self, key: str) -> str | None:
        """Return the node that a pod is on, or None."""
        node = self._node_of.get(key)
        return node if node in self.nodes.slots else None

    def pods_on(self, node: str) -> list[str]:
        """Return the keys of the pods on a node."""
        slot = self.nodes.slots.get(node)
        return [] if slot is None else list(self.pods[slot])

    def sizes(self) -> dict[str, int]:
        """Return how much is in the snapshot: nodes, pods, pod classes, masks over nodes, counts of spread."""
        return {
            "nodes": len(self.nodes.slots),
            "pods": len(self._node_of),
            "classes": len(self.counters.classes),
            "node_masks": self.classes.node_masks,
            "spreads": len(self.counters.spreads),
        }

    def sweep(self) -> None:
        """Forget what no pod and no recent question needs; does nothing in a simulation, whose undoing may need it."""
        if self._marks:
            return
        in_use = {pod_class for pods in self._without_node.values() for pod_class in pods.values()}
        self.classes.sweep(in_use | self.nominations.classes if self.nominations is not None else in_use)
        self.volumes.sweep()
        for plugin in self.plugins:
            plugin.sweep()
        self._sweep_at = max(_SWEEP_FLOOR, 2 * len(self.counters.classes))

    def _plugin(self, kind: type[Kind]) -> Kind:
        return next(plugin for plugin in self.plugins if isinstance(plugin, kind))

    # ---- pods

    def _class_of(self, key: str) -> PodClass:
        node = self._node_of[key]
        slot = self.nodes.slots.get(node)
        return self._without_node[node][key] if slot is None else self.pods[slot][key]

    def _add_pod(self, key: str, pod_class: PodClass, node: str, slot: int) -> None:
        self._put(key, pod_class, node, slot)
        if self._marks:
            self._journal.append(lambda: self._lift(key))

    def _change_pod(self, key: str, pod_class: PodClass | None, node: str) -> None:
        before = (self._class_of(key), self._node_of[key]) if key in self._node_of else (None, "")
        self._set_pod(key, pod_class, node)
        if self._marks:
            self._journal.append(lambda: self._set_pod(key, *before))

    def _set_pod(self, key: str, pod_class: PodClass | None, node: str) -> None:
        if key in self._node_of:
            if pod_class is not None and self._node_of[key] == node and self._class_of(key) is pod_class:
                return
            self._lift(key)
        if pod_class is not None:
            self._put(key, pod_class, node, self.nodes.slots.get(node))

    def _nominate(self, pod: Pod, nominations: Nominations) -> None:
        node = nominated_node(pod)
        if node:
            nominations.put(node, Nominated(pod.key, pod.spec.priority or 0, self.classes.of(pod)))
        else:
            nominations.drop(pod.key)

    def _put(self, key: str, pod_class: PodClass, node: str, slot: int | None) -> None:
        self._node_of[key] = node
        if slot is None:
            self._without_node.setdefault(node, {})[key] = pod_class
        else:
            self.pods[slot][key] = pod_class
            self._count(pod_class, slot, 1)

    def _lift(self, key: str) -> None:
        node = self._node_of.pop(key)
        slot = self.nodes.slots.get(node)
        if slot is None:
            pods = self._without_node[node]
            del pods[key]
            if not pods:
                del self._without_node[node]
        else:
            self._count(self.pods[slot].pop(key), slot, -1)

    def _count(self, pod_class: PodClass, slot: int, sign: int) -> None:
        pods = pod_class.pods_at.get(slot, 0) + sign
        if pods:
            pod_class.pods_at[slot] = pods
        else:
            del pod_class.pods_at[slot]
        for counter in pod_class.counters:
            counter.add(slot, sign)
        for count in pod_class.count_hooks:
            count(pod_class, slot, sign)

    # ---- nodes

    def _set_node(self, node: Node) -> None:
        record = NodeRecord(node, *requests.allocatable(node.status.allocatable))
        slot = self.nodes.slots.get(record.name)
        if slot is None:
            self._new_node(record)
            return
        old = self.nodes.record(slot)
        pods = record.pods = self.pods[slot]
        if old.differs_in_amounts_only(record):
            self.nodes.records[slot] = record
            self.resources.node_changed(slot, old, record)
            return
        for pod_class in pods.values():
            self._count(pod_class, slot, -1)
        self._fill(slot, old, record)
        for pod_class in pods.values():
            self._count(pod_class, slot, 1)

    def _new_node(self, record: NodeRecord) -> None:
        slot, grown = self.nodes.take(record.name)
        if grown:
            for plugin in self.plugins:
                plugin.grow(self.nodes.capacity)
        record.pods = self.pods[slot] = {}
        self._fill(slot, None, record)
        for key, pod_class in self._without_node.pop(record.name, {}).items():
            self._put(key, pod_class, record.name, slot)

    def _fill(self, slot: int, old: NodeRecord | None, record: NodeRecord) -> None:
        self.nodes.fill(slot, record)
        for plugin in self.plugins:
            plugin.node_changed(slot, old, record)
        self.counters.node_changed(slot)

    def _drop_node(self, name: str) -> None:
        slot = self.nodes.slots[name]
        record = self.nodes.record(slot)
        pods = self.pods.pop(slot)
        for pod_class in pods.values():
            self._count(pod_class, slot, -1)
        if pods:
            self._without_node[name] = pods
        for plugin in self.plugins:
            plugin.node_changed(slot, record, None)
        self.nodes.clear(slot)
        self.counters.node_changed(slot)

    # ---- storage

    def _set_storage(self, kind: type[KubeObject], key: str, thing: KubeObject | None) -> None:
        nodes = self.storage.put(kind, key, thing)
        if nodes is not None:
            for plugin in self.plugins:
                plugin.storage_changed(kind, key, nodes)

    def _no_simulation(self) -> None:
        if self._marks:
            raise SnapshotError("objects of the API server must wait until the simulation is rolled back or released")
