"""Who may fill a slot of a node: one answer for a pod that is being created, and for one that was created without us.

Pods that are created while no leader serves the webhook wait for the scheduler. As long as they do, whoever leads next
binds them to the slots that are free for their owner; those that the scheduler has placed are its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from moorage.objects import Node, Pod
from moorage.protocol import ReasonCode
from moorage.reservations import Pin, Slot, merging, rules

from .. import eligibility, kubelet_admission
from ..decisions import adoption, slot_reservations
from ..decisions.starting import binding_waits_for, removing_taints
from ..names import preparing
from ..refusal import Nominable, Refusal, Wait
from ..state.cluster import ClusterState

MOST_TRIED = 250
"""Nodes that a pod is tried on at most: each takes some 30 us, and everybody else waits meanwhile."""


_FEW = 4
"""Nodes that are tried as fast as they are looked over."""


_OF_KIND = frozenset(
    (
        ReasonCode.PLACEHOLDER_MISSING,
        ReasonCode.NODE_TERMINATING,
        ReasonCode.TAINT_WOULD_EVICT,
        ReasonCode.DEADLINE_PASSED,
        ReasonCode.NODE_FULL,
        ReasonCode.DOES_NOT_FIT,
        ReasonCode.SOFT_PIN_UNSUPPORTED,
    )
)
"""Reasons that the next pod of the same kind has, too; all others are about one pod or its owner."""


class Place(NamedTuple):
    """Where an expected pod may go.

    Attributes:
        name: of the reservation.
        node: its Node.
        why: why only the scheduler can place it there; None when it can be bound.
    """

    name: str
    node: str
    why: Refusal | None = None


def choose(cluster: ClusterState, pod: Pod, nodes: Sequence[str], now: datetime) -> Place | Refusal:
    """The first node that an expected pod fits, or why it fits the first one not; of very many not all are tried.

    Args:
        cluster: what is known.
        pod: the pod; it need not have been stored.
        nodes: names of reservations with a slot for it.
        now: the API server's time, UTC.
    """
    only_scheduler = eligibility.refuse_binding(pod)
    refusal = eligibility.refuse(pod) or (only_scheduler.why if only_scheduler is not None else None)
    if refusal is not None and refusal.reason is not ReasonCode.SOFT_PIN_UNSUPPORTED:
        return refusal
    if (capped := cluster.refuse_owner(pod)) is not None:
        return capped
    first: Refusal | None = None
    for name in nodes if len(nodes) < _FEW else islice(_open_to(cluster, pod, nodes), MOST_TRIED):
        found = _refuse(cluster, pod, name, now)
        if found is None or found.reason is ReasonCode.SOFT_PIN_UNSUPPORTED:
            return Place(name, cluster.node_name(name), found or refusal)
        first = first or found
    return first or Refusal(ReasonCode.PLACEHOLDER_MISSING)


def _open_to(cluster: ClusterState, pod: Pod, names: Sequence[str]) -> Iterator[str]:
    """The first node, which says why not, and those that a pod fits by their own fields: asked of all at once."""
    snapshot = cluster.snapshot
    mask, known = snapshot.nodes_for(snapshot.class_of(pod)), snapshot.nodes.slots
    for number, name in enumerate(names):
        at = known.get(cluster.node_name(name))
        if number == 0 or (at is not None and mask[at]):
            yield name


def _refuse(cluster: ClusterState, pod: Pod, name: str, now: datetime) -> Refusal | None:
    """Why a pod cannot run on a node where it is expected; None when it can."""
    running = cluster.expected.running(name)
    node = cluster.node(name) if running is None else cluster.nodes.get(name)
    if running is None:
        refusal = _refuse_promised(cluster, pod, name, node, now)
    else:
        refusal = slot_reservations.refuse(running, name, node, now)
    if refusal is not None or node is None:
        return refusal
    if (refusal := kubelet_admission.refuse(pod, cluster.offered(node.metadata.name))) is not None:
        return refusal
    verdict = cluster.expected.verdict(pod, name) if running is None else cluster.as_scheduled(pod, name)
    found = eligibility.refuse_fit(verdict, node.metadata.name)
    if found is None:
        return cluster.refuse_hostname(pod, name) if running is None else None
    return found.why if isinstance(found, Wait | Nominable) else found


def _refuse_promised(cluster: ClusterState, pod: Pod, name: str, node: Node | None, now: datetime) -> Refusal | None:
    """Why a pod is not put on a promised node, whatever fits there; None when it may be."""
    spec = cluster.reading(name).spec
    if node is None or spec.promise is None or not cluster.is_ours(name):
        return Refusal(ReasonCode.PLACEHOLDER_MISSING, f"node placeholder not found: {name}")
    if (going := eligibility.refuse_node(node)) is not None:
        return going
    if (impatient := eligibility.refuse_impatient(pod, node, removing_taints(node, spec.promise))) is not None:
        return impatient
    if not (node.has_kubelet and node.ready) and rules.expired(spec, now):
        what = "was not Ready" if node.has_kubelet else "has not joined"
        return Refusal(ReasonCode.DEADLINE_PASSED, f"node {name} {what} by its deadline")
    if not node.has_kubelet and (renamed := cluster.instance_refusal(name, spec.promise, now)) is not None:
        return renamed
    return eligibility.refuse_eviction(pod, spec.promise.taints)


def is_guarded(cluster: ClusterState, name: str) -> bool:
    """Whether the scheduler is kept away from a node, so that nobody else takes the room meanwhile."""
    node = cluster.node(name)
    return node is not None and preparing(node) == adoption.NO_SCHEDULE


def waits_for_start(cluster: ClusterState, name: str) -> bool:
    """Whether pods are bound to a node only later, because its promise says so (``bindWhen: StartupTaintsGone``)."""
    return binding_waits_for(name, cluster.node(name), cluster.reading(name).spec.promise) is not None


def take_on_waiting(cluster: ClusterState, name: str, now: datetime) -> None:
    """Intend pods that wait without a node for the slots of their owners on a node, as far as they fit there.

    Args:
        cluster: what is known.
        name: the node's name.
        now: the API server's time, UTC.
    """
    free = cluster.expected.free(name)
    if not free or not is_guarded(cluster, name) or waits_for_start(cluster, name):
        return
    by = cluster.expected.by(name)
    pins = [
        Pin(namespace=pod.metadata.namespace, name=pod.metadata.name, uid=pod.metadata.uid, instruction=by)
        for slot in free
        for pod in _of_slot(cluster, slot, name, now)
    ]
    if pins:
        cluster.intents.take_on(name, merging.with_pins(cluster.intents.of(name), pins))


def _of_slot(cluster: ClusterState, slot: Slot, name: str, now: datetime) -> Iterator[Pod]:
    """The pods that fill a slot; of equal ones that do not fit, one is judged."""
    left, refused = slot.count, set[Hashable]()
    if left == 0:
        return  # filled already
    for pod in cluster.waiting_for(slot.owner, name):
        kind = _kind(cluster, pod)
        if kind in refused:
            continue
        found = choose(cluster, pod, (name,), now)
        if isinstance(found, Place) and found.why is None:
            left -= 1
            yield pod
            if left == 0:
                return
        why = found.why if isinstance(found, Place) else found
        if why is not None and kind is not None and why.reason in _OF_KIND:
            refused.add(kind)


def _kind(cluster: ClusterState, pod: Pod) -> Hashable:
    """What a node is judged by, equal for pods that are; None where doubt about a pod itself may decide."""
    if cluster.snapshot.unread:
        return None
    system = pod.spec.os.name if pod.spec.os is not None else None
    return (id(cluster.snapshot.class_of(pod)), system, pod.spec.priority)
