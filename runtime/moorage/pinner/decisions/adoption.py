"""Adoption: a kubelet has joined. Compare the real node with the promise, and complete what it lacks (design 5.5).

A kubelet that finds its Node there already brings neither its own labels nor its own taints (tried), so everything
that was promised is ours to see to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from moorage.objects import Node, Taint
from moorage.objects.node import VOLUMES
from moorage.reservations import Promise
from moorage.scheduling import requests

from ..names import JOINING_LABELS, KUBELET_LABELS, PLACEHOLDER_LABEL, PREPARING, RESERVATION_ANNOTATION
from ..promised.manifest import lasting_labels
from ..providers import Profile

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


def adopt(
    node: Node, promise: Promise, profile: Profile, *, preparing: str, not_kept: Collection[str] = ()
) -> Adoption:
    """Compare a node that is Ready with its promise.

    A machine that brought its own Node is as whoever made it wants it: what it lacks is only said.

    Args:
        node: the real node.
        promise: what was promised.
        profile: what its placeholder carried in addition.
        preparing: the effect that our own taint is to have by now; empty when it is to go.
        not_kept: labels, and taints as ``key:effect``, that were changed before and did not stay so.
    """
    labels, wrong = _labels(node, promise, profile)
    wrong += [_undone(node, key, labels.pop(key)) for key in sorted(labels.keys() & set(not_kept))]
    wanted = _lacking(node, promise)
    if profile.late:
        wrong += [f"taint {_named(taint)}: it was promised, the node has none" for taint in wanted]
        wanted = []
    taints, lost = _taints(node, wanted, preparing, not_kept)
    wrong += [f"taint {taint}: it was set, and a policy or webhook took it off again" for taint in lost]
    changes: dict[str, Any] = {}
    if labels:
        changes["metadata"] = {"labels": labels}
    if taints is not None:
        changes["spec"] = {"taints": taints}
    return Adoption(changes, (*_less(node, promise), *wrong))


def undone(node: Node, changes: Mapping[str, Any]) -> frozenset[str]:
    """What of a patch the API server accepted and did not keep, as its answer shows.

    Args:
        node: the answer.
        changes: the patch.

    Returns:
        Keys of labels, and taints as ``key:effect``. Our own taint is not among them: taking it off is what everything
        waits for, so that is tried again.
    """
    labels: Mapping[str, str | None] = changes.get("metadata", {}).get("labels", {})
    have = {_named(taint) for taint in node.spec.taints}
    taints = (f"{taint['key']}:{taint['effect']}" for taint in changes.get("spec", {}).get("taints", ()))
    other = (key for key, value in labels.items() if node.metadata.labels.get(key) != value)
    return frozenset((*other, *(name for name in taints if name not in have and not name.startswith(f"{PREPARING}:"))))


def withdraw(node: Node, profile: Profile | None, not_kept: Collection[str] = ()) -> dict[str, Any]:
    """The patch that takes our taint and the labels of a placeholder off a node with a kubelet; empty when it has none.

    Our annotation stays: it is how the next leader knows the node again, and it means nothing to anybody else. Taint
    and labels go together: where neither our taint nor our own label is left, other labels are somebody else's. So are
    all labels of a Node that a machine brought along.

    Args:
        node: the real node.
        profile: what its placeholder carried in addition.
        not_kept: labels that were taken off before and came back.
    """
    kept = [msgspec.to_builtins(taint) for taint in node.spec.taints if taint.key != PREPARING]
    labelled, late = PLACEHOLDER_LABEL in node.metadata.labels, profile is not None and profile.late
    if len(kept) == len(node.spec.taints) and not labelled:
        return {}
    was_placeholder = not late and (labelled or RESERVATION_ANNOTATION in node.metadata.annotations)
    passing = {**JOINING_LABELS, **(profile.labels if profile is not None else {})} if was_placeholder else {}
    labels = {
        key: None for key, value in passing.items() if node.metadata.labels.get(key) == value and key not in not_kept
    }
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
    for key, value in lasting_labels(promise).items():
        if key not in have and profile.late:
            wrong += [f"label {key}: {value} was promised, the node has none"] if key in promise.labels else []
        elif key not in have:
            changes[key] = value
        elif have[key] != value and key in promise.labels:
            whose = "the kubelet says" if key in KUBELET_LABELS else "the node has"
            wrong.append(f"label {key}: {value} was promised, {whose} {have[key]}")
    for key, value in {**JOINING_LABELS, **profile.labels}.items() if not profile.late else ():
        if have.get(key) == value and key not in promise.labels:
            changes[key] = None
    return changes, wrong


def _undone(node: Node, key: str, value: str | None) -> str:
    if value is None:
        return f"label {key}: it was taken off, and a policy or webhook put it back"
    there = node.metadata.labels.get(key, "nothing")
    return f"label {key}: {value} was set, and a policy or webhook made {there} of it"


def _lacking(node: Node, promise: Promise) -> list[Taint]:
    """The promised taints that a node does not have."""
    have = {_named(taint) for taint in node.spec.taints}
    return [taint for taint in promise.taints if _named(taint) not in have]


def _named(taint: Taint) -> str:
    return f"{taint.key}:{taint.effect}"


def _taints(
    node: Node, wanted: Sequence[Taint], preparing: str, not_kept: Collection[str]
) -> tuple[list[dict[str, str]] | None, list[str]]:
    """All taints as they should be, with those that are wanted, or None when they are; and those that do not stay."""
    lost = [_named(taint) for taint in wanted if _named(taint) in not_kept]
    missing = [taint for taint in wanted if _named(taint) not in not_kept]
    ours = [taint for taint in node.spec.taints if taint.key == PREPARING]
    steps_down = [taint for taint in ours if _weaker(preparing, taint.effect)]
    if not missing and not steps_down:
        return None, lost
    kept = [taint for taint in node.spec.taints if taint not in steps_down]
    if steps_down and preparing:
        kept.append(Taint(key=PREPARING, value="true", effect=preparing))
    return [msgspec.to_builtins(taint) for taint in (*kept, *missing)], lost


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
        if real.get(name, 0) < amount and not name.startswith(VOLUMES)  # kubelets do not say those any more
    ]


def _shown(name: str, amount: int) -> str:
    return f"{amount}m" if name == "cpu" else str(amount)
