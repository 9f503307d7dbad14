"""Where a placeholder would harm pods that it is not for, or be taken for another machine. Pure.

A Node without pods is an empty domain. While it stands, a pod that must be spread over the domains (DoNotSchedule,
podtopologyspread/filtering.go) can be scheduled only where as few of its kind run, and nobody can schedule it to a
placeholder. The hostname label is left out therefore; a zone cannot be, because the pinned pods need it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from moorage.objects import Node
from moorage.objects.node import COPIED_LABELS
from moorage.protocol import Promise, ReasonCode

from ..names import HOSTNAME
from ..refusal import Refusal

_ZONES = (*COPIED_LABELS, "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region")
"""Labels that say where a machine is, and over which pods are spread; cloud controllers set the old ones, too."""


def refuse(promise: Promise, nodes: Callable[[], Iterable[Node]]) -> Refusal | None:
    """Why a placeholder must not stand, or None.

    Args:
        promise: of the placeholder.
        nodes: gives all Nodes that are known.
    """
    return _refuse_new_zone(promise, nodes) or _refuse_hostname(promise, nodes)


def _refuse_new_zone(promise: Promise, nodes: Callable[[], Iterable[Node]]) -> Refusal | None:
    """Why a node must not be the first of its zone or region.

    Only Nodes with a kubelet count. A zone that only placeholders have may never come to be, and the answer must not
    depend on which of several promises is judged first. Where no Node has the label at all, nothing can be spread over
    it.
    """
    for key in _ZONES if not promise.allow_new_zone else ():
        value = promise.labels.get(key)
        if value and _is_new(key, value, nodes()):
            text = (
                f"no node has {key}={value} yet: until the machine joins, pods that are spread over it "
                "could not be scheduled elsewhere; set allowNewZone if that is meant"
            )
            return Refusal(ReasonCode.NEW_ZONE, text)
    return None


def _is_new(key: str, value: str, nodes: Iterable[Node]) -> bool:
    """Whether machines have other values of a label, and none has this one."""
    others = False
    for node in nodes:
        there = node.metadata.labels.get(key) if node.has_kubelet else None
        if there == value:
            return False
        others |= bool(there)
    return others


def _refuse_hostname(promise: Promise, nodes: Callable[[], Iterable[Node]]) -> Refusal | None:
    """Why a promised hostname label is wrong: it names another machine, as labels copied from a Node do."""
    wanted = promise.labels.get(HOSTNAME)
    if wanted is None or wanted == promise.name:
        return None
    others = (node.metadata for node in nodes() if node.metadata.name != promise.name)
    other = next((meta.name for meta in others if wanted in (meta.name, meta.labels.get(HOSTNAME))), "")
    if not other:
        return None
    text = f"label {HOSTNAME}: {wanted} is node {other}; leave the label out, the kubelet sets it"
    return Refusal(ReasonCode.INVALID_METADATA, text)
