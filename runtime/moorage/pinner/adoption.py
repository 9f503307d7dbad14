"""Adoption: a kubelet has joined. Compare the real node with the promise, and complete what it lacks (design 5.5).

A kubelet that finds its Node there already brings neither its own labels nor its own taints (tried), so everything
that was promised is ours to see to.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from moorage.objects import Node, Taint
from moorage.reservations import Promise
from moorage.scheduling import requests

from .names import (
    JOINING_LABELS,
    KUBELET_LABELS,
    PREPARING,
)
from .profiles import Profile
from .promised import lasting_labels

NO_SCHEDULE = "NoSchedule"
PREFER_NO_SCHEDULE = "PreferNoSchedule"


class Adoption(NamedTuple):
    """What is to be changed on a node that has joined, and what it lacks that nobody can add.

    Attributes:
        changes: a merge patch of the Node; empty when it is as it should be.
        shortfalls: sentences about what is less or other than promised.
    """

    changes: dict[str, Any]
    shortfalls: tuple[str, ...]


def adopt(node: Node, promise: Promise, profile: Profile, *, preparing: str) -> Adoption:
    """Compare a node that is Ready with its promise.

    Args:
        node: the real node.
        promise: what was promised.
        profile: what its placeholder carried in addition.
        preparing: the effect that our own taint is to have by now; empty when it is to go.
    """
    labels, wrong = _labels(node, promise, profile)
    taints = _taints(node, promise, preparing)
    changes: dict[str, Any] = {}
    if labels:
        changes["metadata"] = {"labels": labels}
    if taints is not None:
        changes["spec"] = {"taints": taints}
    return Adoption(changes, (*_less(node, promise), *wrong))


def withdraw(node: Node, profile: Profile | None) -> dict[str, Any]:
    """The patch that takes our taint and the labels of a placeholder off a node with a kubelet; empty when it has none.

    Our annotation stays: it is how the next leader knows the node again, and it means nothing to anybody else.
    """
    passing = {**JOINING_LABELS, **(profile.labels if profile is not None else {})}
    labels = {key: None for key, value in passing.items() if node.metadata.labels.get(key) == value}
    kept = [_builtin(taint) for taint in node.spec.taints if taint.key != PREPARING]
    changes: dict[str, Any] = {}
    if labels:
        changes["metadata"] = {"labels": labels}
    if len(kept) < len(node.spec.taints):
        changes["spec"] = {"taints": kept}
    return changes


def _labels(node: Node, promise: Promise, profile: Profile) -> tuple[dict[str, str | None], list[str]]:
    """The labels to change, and sentences about those that differ and are not ours to change."""
    have = node.metadata.labels
    changes: dict[str, str | None] = {}
    wrong = []
    for key, value in lasting_labels(node.metadata.name, promise).items():
        if key not in have:
            changes[key] = value
        elif have[key] != value and key in promise.labels:
            whose = "the kubelet says" if key in KUBELET_LABELS else "the node has"
            wrong.append(f"label {key}: {value} was promised, {whose} {have[key]}")
    for key, value in {**JOINING_LABELS, **profile.labels}.items():
        if have.get(key) == value and key not in promise.labels:
            changes[key] = None
    return changes, wrong


def _taints(node: Node, promise: Promise, preparing: str) -> list[dict[str, str]] | None:
    """All taints as they should be, or None when they are."""
    have = {(taint.key, taint.effect): taint for taint in node.spec.taints}
    missing = [taint for taint in promise.taints if (taint.key, taint.effect) not in have]
    ours = [taint for taint in node.spec.taints if taint.key == PREPARING]
    steps_down = [taint for taint in ours if _weaker(preparing, taint.effect)]
    if not missing and not steps_down:
        return None
    kept = [taint for taint in node.spec.taints if taint not in steps_down]
    if steps_down and preparing:
        kept.append(Taint(key=PREPARING, value="true", effect=preparing))
    return [_builtin(taint) for taint in (*kept, *missing)]


def _weaker(wanted: str, have: str) -> bool:
    """Whether our taint must step down; it never steps up again."""
    order = ("", PREFER_NO_SCHEDULE, NO_SCHEDULE)
    return order.index(wanted) < (order.index(have) if have in order else len(order))


def _less(node: Node, promise: Promise) -> list[str]:
    promised, _ = requests.allocatable(promise.allocatable)
    real, _ = requests.allocatable(node.status.allocatable)
    return [
        f"{name}: {_shown(name, amount)} promised, {_shown(name, real.get(name, 0))} there"
        for name, amount in promised.items()
        if real.get(name, 0) < amount
    ]


def _shown(name: str, amount: int) -> str:
    return f"{amount}m" if name == "cpu" else str(amount)


def _builtin(taint: Taint) -> dict[str, str]:
    shown = {"key": taint.key, "effect": taint.effect}
    if taint.value:
        shown["value"] = taint.value
    if taint.time_added:
        shown["timeAdded"] = taint.time_added
    return shown
