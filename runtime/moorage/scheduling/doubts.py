"""Which verdicts an object that cannot be read could change. Those are "unknown", all others stay as they are.

A doubt reaches no further than what the object decides: a CSINode the volumes of its node, a claim the pods that use
it. Two bounds keep one unreadable pod from stopping every pin (docs/adr/0012-doubt-is-bounded.md): a pod whose node
cannot be read uses no resources of any node; and a pod whose anti-affinity cannot be read repels pods on its own node
only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

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
from .state import State
from .storage import class_name
from .unread import UnreadObjects
from .volumes import PodVolumes

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
    """An object that could change a verdict.

    Attributes:
        finding: the reason that the verdict gives.
        lifts: reasons against a node that may not hold once the object can be read.
    """

    finding: Finding
    lifts: frozenset[Reason] = frozenset()


def doubts_about(state: State, unread: UnreadObjects, key: str, pod_class: PodClass, node: str) -> list[Doubt]:
    """Return what could change the verdict about a pod and a node.

    Args:
        state: the nodes and pods.
        unread: the objects of which not all can be read.
        key: the pod's key.
        pod_class: the pod's class, with the counts that it needs.
        node: the node's name.
    """
    doubts = []
    if pod := unread.of(Pod, key):
        doubts.append(Doubt(pod.finding, _EVERY))
    if its_node := unread.of(Node, node):
        doubts.append(Doubt(its_node.finding, _OF_NODE))
    doubts += [Doubt(pod.finding) for name, pod in unread.pods_on(node) if name != key]
    slot = state.nodes.slots.get(node)
    if slot is None:
        return doubts
    judged = _Judged(state, unread, key, pod_class, slot, state.nodes.record(slot))
    if pod_class.volumes is not None:
        doubts += _of_claims(state, unread, pod_class.volumes, _OF_VOLUMES)
        doubts += _of_attaching(judged)
        doubts += _of_single_users(judged)
    doubts += _of_pods_without_labels(judged)
    doubts += _of_nodes_without_labels(judged)
    doubts += _of_namespaces_without_labels(judged)
    return doubts


class _Judged(NamedTuple):
    """The pod and the node in question."""

    state: State
    unread: UnreadObjects
    key: str
    pod_class: PodClass
    slot: int
    record: NodeRecord


# --- volumes ---


def _of_claims(state: State, unread: UnreadObjects, volumes: PodVolumes, lifts: frozenset[Reason]) -> Iterator[Doubt]:
    """The claims of a pod, their volumes and storage classes."""
    for use in volumes.claims:
        key = f"{volumes.namespace}/{use.name}"
        doubts = [unread.of(PersistentVolumeClaim, key)]
        claim = state.storage.claims.get(key)
        if claim is not None and claim.spec.volume_name:
            doubts.append(unread.of(PersistentVolume, claim.spec.volume_name))
        elif claim is not None:
            doubts.append(unread.of(StorageClass, class_name(claim)))
        yield from (Doubt(each.finding, lifts) for each in doubts if each is not None)


def _of_attaching(judged: _Judged) -> Iterator[Doubt]:
    """The limits of the node, and what is attached to it; only for pods that attach volumes."""
    state, unread, _, pod_class, slot, record = judged
    resolved = state.volumes.of(pod_class)
    translated = any(affinity.in_tree_plugin for affinity in resolved.node_affinities)
    csi_node = unread.of(CsiNode, record.name)
    if csi_node is not None and (resolved.attachments or translated):
        yield Doubt(csi_node.finding, _OF_VOLUMES if translated else _OF_LIMITS)
    if not state.volume_limits.limited(slot, pod_class):
        return
    for _, each in unread.every(VolumeAttachment, "spec"):
        node = each.thing.spec.node_name if isinstance(each.thing, VolumeAttachment) else ""
        if node in ("", record.name):
            yield Doubt(each.finding, _OF_LIMITS)
    for attachment in state.storage.attached_to.get(record.name, {}).values():
        volume = unread.of(PersistentVolume, attachment.spec.source.persistent_volume_name or "")
        if volume is not None:
            yield Doubt(volume.finding, _OF_LIMITS)
    for other in set(state.pods[slot].values()):
        if other.volumes is not None:
            yield from _of_claims(state, unread, other.volumes, _OF_LIMITS)


def _of_single_users(judged: _Judged) -> Iterator[Doubt]:
    """Pods that may use a claim that only one pod may use at a time."""
    state, unread, key, pod_class, _, _ = judged
    if not state.volumes.of(pod_class).single_pod_claims:
        return
    for other, each in unread.every(Pod, "spec.volumes"):
        if other != key and each.thing.metadata.namespace == pod_class.namespace and _node_of(state, each.thing):
            yield Doubt(each.finding)


def _node_of(state: State, thing: object) -> NodeRecord | None:
    """The node that a pod runs on, if it is known."""
    if not isinstance(thing, Pod) or thing.finished:
        return None
    slot = state.nodes.slots.get(thing.spec.node_name)
    return state.nodes.record(slot) if slot is not None else None


# --- affinity and topology spread ---


def _of_pods_without_labels(judged: _Judged) -> Iterator[Doubt]:
    state, unread, key, pod_class, _, record = judged
    known = state.counters.namespaces
    for other, each in unread.every(Pod, "metadata.labels", "metadata.deletionTimestamp"):
        node = _node_of(state, each.thing)
        if node is None or other == key:
            continue
        namespace = each.thing.metadata.namespace
        if pod_class.constraints and namespace == pod_class.namespace:
            yield Doubt(each.finding, _OF_SPREAD)
        if not each.lacks("metadata.labels"):
            continue
        if pod_class.affinity and all(term.selects_namespace(namespace, known) for term in pod_class.affinity):
            yield Doubt(each.finding, _OF_AFFINITY)
        for term in pod_class.anti_affinity:
            domain = node.labels.get(term.topology_key)
            same = domain is not None and domain == record.labels.get(term.topology_key)
            if same and term.selects_namespace(namespace, known):
                yield Doubt(each.finding)


def _of_nodes_without_labels(judged: _Judged) -> Iterator[Doubt]:
    """Nodes whose domains, or whose taints, are not known."""
    state, unread, _, pod_class, _, record = judged
    if any(constraint.by_taints for constraint in pod_class.constraints):
        for name, each in unread.every(Node, "spec.taints", "spec.unschedulable"):
            if name != record.name:
                yield Doubt(each.finding, _OF_SPREAD)
    for name, each in unread.every(Node, "metadata.labels"):
        if name == record.name:
            continue
        if pod_class.constraints:
            yield Doubt(each.finding, _OF_SPREAD)
        if pod_class.affinity:
            yield Doubt(each.finding, _OF_AFFINITY)
        slot = state.nodes.slots.get(name)
        pods = state.pods[slot].values() if slot is not None else ()
        counting = {id(counter) for other in pods for counter in other.counters}
        if any(id(counter) in counting for counter in (*pod_class.affinity_counts.away, *pod_class.repelled_by)):
            yield Doubt(each.finding)


def _of_namespaces_without_labels(judged: _Judged) -> Iterator[Doubt]:
    state, unread, _, pod_class, slot, _ = judged
    for name, each in unread.every(Namespace, "metadata.labels"):
        if any(term.reads_namespaces for term in (*pod_class.affinity, *pod_class.anti_affinity)):
            yield Doubt(each.finding, _OF_AFFINITY)
        if pod_class.namespace == name and state.counters.may_be_repelled(pod_class, slot):
            yield Doubt(each.finding, _OF_OTHERS)
