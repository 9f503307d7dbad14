"""Profile ``late``: the machine brings its Node along, and the reservation learns which one it is. Pure.

What a Node says of itself only tells which promise it claims to be. That nobody else may take its room until its pods
are there is guarded by the preparing taint, which a kubelet can bring along and never put on a Node that is there
(NodeRestriction). SECURITY.md says who can write what a Node is known by.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from moorage.objects import Node
from moorage.reservations import Promise, moment

from ..names import (
    KARPENTER_PREFIX,
    PLACEHOLDER_LABEL,
    PREPARING_TAINT,
    RESERVATION_ANNOTATION,
    UNREGISTERED,
    preparing,
)

UNCLAIMED = timedelta(minutes=2)
"""How long a Node that a machine brought along with our taint waits for a promise that means it."""


class Unclaimed(NamedTuple):
    """A Node with our taint that no reservation has.

    Attributes:
        since: when this leader has seen it first.
        like: the reservations that would mean it, and have another Node already.
    """

    since: datetime
    like: tuple[str, ...] = ()


def selects(promise: Promise, node: Node) -> bool:
    """Whether a Node is one of those that a promise means: all that is said of it holds.

    Karpenter writes owner, labels and startup taints of a NodeClaim to its Node in one patch
    (pkg/controllers/nodeclaim/lifecycle/registration.go), so no NodeClaim needs to be read.
    """
    if not (promise.provider_id or promise.node_claim or promise.match_labels):
        return False
    if promise.provider_id and node.spec.provider_id != promise.provider_id:
        return False
    if promise.node_claim and promise.node_claim not in _claims(node):
        return False
    labels = node.metadata.labels
    return all(labels.get(key) == value for key, value in promise.match_labels.items())


def anchor(promise: Promise) -> str:
    """What the Nodes are found by that a promise means; empty when that is by their labels only.

    Each of them has it among its ``anchors``.
    """
    if promise.provider_id:
        return f"machine {promise.provider_id}"
    return f"claim {promise.node_claim}" if promise.node_claim else ""


def anchors(node: Node) -> list[str]:
    """By what promises may find a Node."""
    claims = [f"claim {name}" for name in _claims(node)] if node.metadata.owner_references else []
    return [f"machine {node.spec.provider_id}", *claims] if node.spec.provider_id else claims


def _claims(node: Node) -> set[str]:
    owners = node.metadata.owner_references
    return {each.name for each in owners if each.kind == "NodeClaim" and each.api_version.startswith(KARPENTER_PREFIX)}


def registered(node: Node) -> bool:
    """Whether a Node is a machine's own, and is all that it will be when it registers: Karpenter completes it after."""
    meta = node.metadata
    placeholder = PLACEHOLDER_LABEL in meta.labels or RESERVATION_ANNOTATION in meta.annotations
    incomplete = any(taint.key == UNREGISTERED for taint in node.spec.taints)
    return node.has_kubelet and meta.deletion_timestamp is None and not placeholder and not incomplete


def guarded(node: Node) -> bool:
    """Whether the scheduler was kept away from a Node."""
    return preparing(node) == PREPARING_TAINT.effect


def brought(node: Node) -> bool:
    """Whether a machine has brought this Node along, with our taint, and so waits for a pod pinner."""
    return guarded(node) and registered(node)


def choose(promise: Promise, since: str, nodes: Iterable[Node]) -> Node | None:
    """The Node that a promise is kept by: the first that registered with our taint, or else one that came without.

    Args:
        promise: the promise.
        since: when it was made (RFC 3339). A Node without our taint that is older is a machine of an earlier day.
        nodes: those that nobody else has.
    """
    meant = sorted((each for each in nodes if selects(promise, each) and registered(each)), key=_age)
    made = moment(since)
    return next((each for each in meant if guarded(each)), None) or next(
        (each for each in meant if _came_after(each, made)), None
    )


def _age(node: Node) -> tuple[str, str]:
    return node.metadata.creation_timestamp or "", node.metadata.name


def _came_after(node: Node, made: datetime | None) -> bool:
    created = moment(node.metadata.creation_timestamp or "")
    return created is not None and made is not None and created >= made


def described(promise: Promise) -> str:
    """How a promise says which Node it means, for people."""
    parts = [f"providerID {promise.provider_id}"] if promise.provider_id else []
    parts += [f"NodeClaim {promise.node_claim}"] if promise.node_claim else []
    labels = ", ".join(f"{key}={value}" for key, value in sorted(promise.match_labels.items()))
    parts += [f"the labels {labels}"] if labels else []
    return " and ".join(parts)
