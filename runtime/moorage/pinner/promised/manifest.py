"""The promised node: the manifest of its placeholder, and the Node that pods are checked against."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from moorage.objects import Node, NodeSpec, NodeStatus, Pod, Quantities, Taint
from moorage.objects.base import Labels, ObjectMeta
from moorage.objects.node import VOLUMES
from moorage.reservations import Promise, rules
from moorage.scheduling import requests

from ..names import (
    HOSTNAME,
    JOINING_LABELS,
    LIFECYCLE_TAINTS,
    MANAGED_LABEL,
    MANAGED_VALUE,
    PREPARING,
    PREPARING_TAINT,
    RESERVATION_ANNOTATION,
    preparing,
)
from ..providers import Profile
from .hostname import domain


def placeholder_taints(promise: Promise, profile: Profile) -> tuple[Taint, ...]:
    """Every taint a placeholder carries; startup taints never with NoExecute, which would remove what is pinned."""
    startup = tuple(
        msgspec.structs.replace(taint, effect="NoSchedule") if taint.effect == "NoExecute" else taint
        for taint in promise.startup_taints
    )
    wanted = (PREPARING_TAINT, *promise.taints, *startup, *profile.taints)
    return tuple({(taint.key, taint.effect): taint for taint in reversed(wanted)}.values())[::-1]


def lasting_labels(promise: Promise) -> Labels:
    """The labels that the real node must have, too; its hostname label is the kubelet's (see ``hostname``)."""
    promised = {key: value for key, value in promise.labels.items() if key != HOSTNAME}
    return {MANAGED_LABEL: MANAGED_VALUE, **promised}


def placeholder_manifest(name: str, reservation_uid: str, promise: Promise, profile: Profile) -> dict[str, Any]:
    """A placeholder as it is created: whole, status included, in one request (we hold no right on nodes/status).

    No condition is set: a Ready condition, even a false one, would start the clock of the node-lifecycle controller.

    Args:
        name: the node's name.
        reservation_uid: uid of the reservation it is created for.
        promise: what the node will be.
        profile: what the provider wants in addition.
    """
    spec: dict[str, Any] = {"taints": [msgspec.to_builtins(taint) for taint in placeholder_taints(promise, profile)]}
    if promise.provider_id:
        spec["providerID"] = promise.provider_id
    return {
        "metadata": {
            "name": name,
            "labels": {**lasting_labels(promise), **JOINING_LABELS, **profile.labels},
            "annotations": {RESERVATION_ANNOTATION: reservation_uid},
        },
        "spec": spec,
        "status": {"capacity": dict(promise.allocatable), "allocatable": dict(promise.allocatable)},
    }


def as_promised(name: str, promise: Promise, node: Node | None, pods: Iterable[Pod] = ()) -> Node:
    """The node that pods are checked against: as promised, and as it really is where that is known.

    Until a kubelet has reported, what counts is the promise; afterwards the kubelet's allocatable does, and how many
    volumes are attached is still as promised (``moorage.cluster.volume_limits``). Taints of the
    promise always count, those of starting up never; what others put on the Node (a cordon, a mark of the autoscaler)
    counts as it stands. Nobody adds the promised labels to a Node that a machine brought along. A placeholder counts as
    if its kubelet had set the hostname label already: see ``hostname``.

    Args:
        name: the node's name.
        promise: what was promised.
        node: the Node, or None while there is none.
        pods: the pods that are on it: what static pods will still take is not offered, until our taint is gone.
    """
    labels: Labels = {}
    if node is None or not promise.late:
        labels = {**lasting_labels(promise), HOSTNAME: domain(name, promise)}
    if node is None:
        return Node(
            metadata=ObjectMeta(name=name, labels=labels),
            spec=NodeSpec(taints=promise.taints, provider_id=promise.provider_id),
            status=NodeStatus(allocatable=_offered(promise.allocatable, promise, pods)),
        )
    passing = {(taint.key, taint.value) for taint in promise.startup_taints}
    foreign = tuple(
        taint
        for taint in node.spec.taints
        if taint.key != PREPARING and taint.key not in LIFECYCLE_TAINTS and (taint.key, taint.value) not in passing
    )
    taints = {(taint.key, taint.effect): taint for taint in (*foreign, *promise.taints)}
    allocatable = promise.allocatable
    if node.has_kubelet:  # limits of volumes are said by drivers, later and elsewhere
        volumes = {name: text for name, text in promise.allocatable.items() if name.startswith(VOLUMES)}
        allocatable = {**volumes, **node.status.allocatable} if volumes else node.status.allocatable
    if not node.has_kubelet or preparing(node):  # open to the scheduler, it is what it is
        allocatable = _offered(allocatable, promise, pods)
    status = node.status
    if allocatable is not status.allocatable:
        status = msgspec.structs.replace(status, allocatable=allocatable)
    return Node(
        metadata=msgspec.structs.replace(node.metadata, labels={**labels, **node.metadata.labels}),
        spec=msgspec.structs.replace(node.spec, taints=tuple(taints.values())),
        status=status,
    )


def _offered(allocatable: Quantities, promise: Promise, pods: Iterable[Pod]) -> Quantities:
    """What is offered to other pods than static pods that are still to come."""
    held = rules.static_pods_to_come(promise, pods)
    if not held:
        return allocatable
    offered, _ = requests.allocatable(allocatable)
    left = {name: max(offered[name] - amount, 0) for name, amount in held.items() if name in offered}
    return {**allocatable, **{name: f"{amount}m" if name == "cpu" else amount for name, amount in left.items()}}
