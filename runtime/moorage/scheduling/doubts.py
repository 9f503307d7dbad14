"""Which verdicts an object that cannot be read could change: those are "unknown", all others are as they would be.

Doubt reaches no further than what the object decides: a CSINode the volumes of its node, a claim the pods that use it.
Two bounds keep a tenant's odd pod from stopping every pin (docs/adr/0012-doubt-is-bounded.md): a pod whose node cannot
be read takes no room anywhere, and whom a pod repels beyond its own node is not asked when that cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

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

from .nodes import NodeRecord
from .pod_class import PodClass
from .reasons import Finding, Reason
from .volumes import Plan, VolumeNeeds, class_name

if TYPE_CHECKING:
    from .snapshot import Snapshot

_EVERY = frozenset(Reason)
_OF_NODE = frozenset(
    (
        Reason.NODE_ABSENT,
        Reason.NODE_UNSCHEDULABLE,
        Reason.TAINT,
        Reason.NODE_SELECTOR,
        Reason.NODE_AFFINITY,
        Reason.FEATURE,
        Reason.TOO_MANY_PODS,
        Reason.RESOURCE,
        Reason.DEVICE_CLASS,
        Reason.NODE_QUANTITY,
        Reason.POD_AFFINITY,
        Reason.POD_ANTI_AFFINITY,
        Reason.OTHERS_ANTI_AFFINITY,
        Reason.SPREAD_KEY,
        Reason.SPREAD_SKEW,
        Reason.VOLUME_NODE,
        Reason.VOLUME_ZONE,
    )
)
_OF_LIMITS = frozenset((Reason.VOLUME_LIMIT, Reason.IN_TREE_LIMIT))
_OF_VOLUMES = frozenset(
    reason for reason in Reason if reason.plugin in ("VolumeBinding", "VolumeZone", "NodeVolumeLimits")
)
_OF_SPREAD = frozenset((Reason.SPREAD_SKEW,))
_OF_AFFINITY = frozenset((Reason.POD_AFFINITY,))
_OF_OTHERS = frozenset((Reason.OTHERS_ANTI_AFFINITY,))


class Doubt(NamedTuple):
    """That an object could change a verdict, and the reasons against a node that might then no longer hold."""

    finding: Finding
    lifts: frozenset[Reason] = frozenset()


def about(state: Snapshot, key: str, one: PodClass, node: str, plan: Plan | None) -> list[Doubt]:
    """What could change the verdict about a pod and a node.

    Args:
        state: the snapshot.
        key: the pod's key.
        one: the pod's class, asked about already.
        node: the node's name.
        plan: what the pod's volumes come to; None without any.
    """
    doubts = state.doubts
    found = []
    if itself := doubts.of(Pod, key):
        found.append(Doubt(itself.finding, _EVERY))
    if unread := doubts.of(Node, node):
        found.append(Doubt(unread.finding, _OF_NODE))
    found += [Doubt(pod.finding) for name, pod in doubts.pods_on(node) if name != key]
    slot = state.nodes.slots.get(node)
    if slot is None:
        return found
    record = state.nodes.record(slot)
    if one.volumes is not None and plan is not None:
        found += _of_claims(state, one.volumes, _OF_VOLUMES)
        found += _of_attaching(state, slot, record, plan)
        found += _of_single_users(state, key, one, plan)
    found += _of_pods_without_labels(state, key, one, record)
    found += _of_nodes_without_labels(state, one, record)
    found += _of_namespaces_without_labels(state, one, slot)
    return found


# --- volumes ---


def _of_claims(state: Snapshot, needs: VolumeNeeds, lifts: frozenset[Reason]) -> Iterator[Doubt]:
    """The claims of a pod, their volumes and classes."""
    doubts = state.doubts
    for use in needs.claims:
        key = f"{needs.namespace}/{use.name}"
        found = [doubts.of(PersistentVolumeClaim, key)]
        claim = state.storage.claims.get(key)
        if claim is not None and claim.spec.volume_name:
            found.append(doubts.of(PersistentVolume, claim.spec.volume_name))
        elif claim is not None:
            found.append(doubts.of(StorageClass, class_name(claim)))
        yield from (Doubt(unread.finding, lifts) for unread in found if unread is not None)


def _of_attaching(state: Snapshot, slot: int, record: NodeRecord, plan: Plan) -> Iterator[Doubt]:
    """How much the node may attach, and how much is attached already; only for who wants something attached."""
    doubts, storage = state.doubts, state.storage
    translated = any(plugin for _, _, plugin in plan.reachable)
    csi_node = doubts.of(CsiNode, record.name)
    if csi_node is not None and (plan.attached or translated):
        yield Doubt(csi_node.finding, _OF_VOLUMES if translated else _OF_LIMITS)
    if not state.attached.limited(slot, plan):
        return
    for _, unread in doubts.every(VolumeAttachment, "spec"):
        there = unread.thing.spec.node_name if isinstance(unread.thing, VolumeAttachment) else ""
        if there in ("", record.name):
            yield Doubt(unread.finding, _OF_LIMITS)
    for attachment in storage.attached_to.get(record.name, {}).values():
        volume = doubts.of(PersistentVolume, attachment.spec.source.persistent_volume_name or "")
        if volume is not None:
            yield Doubt(volume.finding, _OF_LIMITS)
    for other in set(record.pods.values()):
        if other.volumes is not None:
            yield from _of_claims(state, other.volumes, _OF_LIMITS)


def _of_single_users(state: Snapshot, key: str, one: PodClass, plan: Plan) -> Iterator[Doubt]:
    """Pods that may use a claim that only one pod may use at a time."""
    for other, unread in state.doubts.every(Pod, "spec.volumes") if plan.single else ():
        if other != key and unread.thing.metadata.namespace == one.namespace and _placed(state, unread.thing):
            yield Doubt(unread.finding)


def _placed(state: Snapshot, thing: object) -> NodeRecord | None:
    """The node that a pod runs on, if it is known."""
    if not isinstance(thing, Pod) or thing.finished:
        return None
    slot = state.nodes.slots.get(thing.spec.node_name)
    return state.nodes.record(slot) if slot is not None else None


# --- relations ---


def _of_pods_without_labels(state: Snapshot, key: str, one: PodClass, record: NodeRecord) -> Iterator[Doubt]:
    known = state.relations.namespaces
    for other, unread in state.doubts.every(Pod, "metadata.labels", "metadata.deletionTimestamp"):
        there = _placed(state, unread.thing)
        if there is None or other == key:
            continue
        namespace = unread.thing.metadata.namespace
        if one.constraints and namespace == one.namespace:
            yield Doubt(unread.finding, _OF_SPREAD)
        if not unread.lacks("metadata.labels"):
            continue
        if one.affinity and all(term.reaches(namespace, known) for term in one.affinity):
            yield Doubt(unread.finding, _OF_AFFINITY)
        for term in one.anti_affinity:
            domain = there.labels.get(term.topology_key)
            if domain is not None and domain == record.labels.get(term.topology_key) and term.reaches(namespace, known):
                yield Doubt(unread.finding)


def _of_nodes_without_labels(state: Snapshot, one: PodClass, record: NodeRecord) -> Iterator[Doubt]:
    """Nodes of which nobody knows the domains, or who may run there."""
    doubts = state.doubts
    if any(constraint.by_taints for constraint in one.constraints):
        for name, unread in doubts.every(Node, "spec.taints", "spec.unschedulable"):
            if name != record.name:
                yield Doubt(unread.finding, _OF_SPREAD)
    for name, unread in doubts.every(Node, "metadata.labels"):
        if name == record.name:
            continue
        if one.constraints:
            yield Doubt(unread.finding, _OF_SPREAD)
        if one.affinity:
            yield Doubt(unread.finding, _OF_AFFINITY)
        slot = state.nodes.slots.get(name)
        pods = state.nodes.record(slot).pods.values() if slot is not None else ()
        counting = {id(counter) for other in pods for counter in other.counters}
        if any(id(counter) in counting for counter in (*one.relations.away, *one.repelled_by)):
            yield Doubt(unread.finding)


def _of_namespaces_without_labels(state: Snapshot, one: PodClass, slot: int) -> Iterator[Doubt]:
    for name, unread in state.doubts.every(Namespace, "metadata.labels"):
        if any(term.crosses for term in (*one.affinity, *one.anti_affinity)):
            yield Doubt(unread.finding, _OF_AFFINITY)
        if one.namespace == name and state.relations.may_be_repelled(one, slot):
            yield Doubt(unread.finding, _OF_OTHERS)
