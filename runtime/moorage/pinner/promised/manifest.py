"""The promised node: the manifest of its placeholder, and the Node that pods are checked against."""

from __future__ import annotations

from typing import Any

import msgspec

from moorage.objects import Node, NodeSpec, NodeStatus, Taint
from moorage.objects.base import Labels, ObjectMeta
from moorage.reservations import Promise

from ..names import (
    HOSTNAME,
    JOINING_LABELS,
    LIFECYCLE_TAINTS,
    MANAGED_LABEL,
    MANAGED_VALUE,
    PREPARING,
    PREPARING_TAINT,
    RESERVATION_ANNOTATION,
)
from ..providers import Profile


def placeholder_taints(promise: Promise, profile: Profile) -> tuple[Taint, ...]:
    """Every taint a placeholder carries; startup taints never with NoExecute, which would remove what is pinned."""
    startup = tuple(
        msgspec.structs.replace(taint, effect="NoSchedule") if taint.effect == "NoExecute" else taint
        for taint in promise.startup_taints
    )
    wanted = (PREPARING_TAINT, *promise.taints, *startup, *profile.taints)
    return tuple({(taint.key, taint.effect): taint for taint in reversed(wanted)}.values())[::-1]


def lasting_labels(name: str, promise: Promise) -> Labels:
    """The labels that the real node must have, too."""
    return {HOSTNAME: name, MANAGED_LABEL: MANAGED_VALUE, **promise.labels}


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
            "labels": {**lasting_labels(name, promise), **JOINING_LABELS, **profile.labels},
            "annotations": {RESERVATION_ANNOTATION: reservation_uid},
        },
        "spec": spec,
        "status": {"capacity": dict(promise.allocatable), "allocatable": dict(promise.allocatable)},
    }


def as_promised(name: str, promise: Promise, node: Node | None) -> Node:
    """The node that pods are checked against: as promised, and as it really is where that is known.

    Until a kubelet has reported, what counts is the promise; afterwards the kubelet's allocatable does. Taints of the
    promise always count, those of starting up never; what others put on the Node (a cordon, a mark of the autoscaler)
    counts as it stands. Nobody adds the promised labels to a Node that a machine brought along.

    Args:
        name: the node's name.
        promise: what was promised.
        node: the Node, or None while there is none.
    """
    labels = lasting_labels(name, promise) if node is None or not promise.late else {}
    if node is None:
        return Node(
            metadata=ObjectMeta(name=name, labels=labels),
            spec=NodeSpec(taints=promise.taints, provider_id=promise.provider_id),
            status=NodeStatus(allocatable=promise.allocatable),
        )
    passing = {(taint.key, taint.value) for taint in promise.startup_taints}
    foreign = tuple(
        taint
        for taint in node.spec.taints
        if taint.key != PREPARING and taint.key not in LIFECYCLE_TAINTS and (taint.key, taint.value) not in passing
    )
    taints = {(taint.key, taint.effect): taint for taint in (*foreign, *promise.taints)}
    status = node.status
    if not node.has_kubelet:
        status = msgspec.structs.replace(status, allocatable=promise.allocatable)
    return Node(
        metadata=msgspec.structs.replace(node.metadata, labels={**labels, **node.metadata.labels}),
        spec=msgspec.structs.replace(node.spec, taints=tuple(taints.values())),
        status=status,
    )
