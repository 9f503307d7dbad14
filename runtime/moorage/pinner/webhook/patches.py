"""How a pod is changed while it is created: pinned, steered, or given back to the scheduler. Pure.

Every operation holds for the pod as it was read: a field that is missing is added whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from moorage.objects import Pod

from ..names import CLAIM_ANNOTATION, NOT_PINNED_ANNOTATION, PIN_ANNOTATION, PREPARING
from .review import Operation

OURS = (CLAIM_ANNOTATION, PIN_ANNOTATION, NOT_PINNED_ANNOTATION)
WEIGHT = 100
"""The most that a preference can weigh."""

_OUR_SOFT_TAINT = {"key": PREPARING, "operator": "Exists", "effect": "PreferNoSchedule"}
"""A toleration of what keeps other pods away from nodes on which some are expected."""

_NODE_NAME = "/spec/nodeName"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def pin(pod: Pod, node: str, marks: Mapping[str, str], labels: Mapping[str, str]) -> list[Operation]:
    """Give a pod its node: no scheduler will look at it.

    Args:
        pod: as it was read.
        node: the node's name.
        marks: annotations.
        labels: of the node, that the API server gives the pod as well.
    """
    return [{"op": "add", "path": _NODE_NAME, "value": node}, *_labelled(pod, labels), *_annotated(pod, marks)]


def steer(pod: Pod, node: str, marks: Mapping[str, str]) -> list[Operation]:
    """Have the scheduler prefer a node, with all its checks.

    The taint of ours by which other pods avoid that node is tolerated: it would outweigh the preference, and nodes that
    are being emptied, whose taint weighs as much, would be as good (plugins/tainttoleration, Score).

    Args:
        pod: as it was read.
        node: the node's name.
        marks: annotations.
    """
    return [*_preferring(pod, _term(node)), *_tolerating(pod), *_annotated(pod, marks)]


def take_back(pod: Pod, marks: Mapping[str, str], labels: Iterable[str]) -> list[Operation]:
    """Leave a pod that we have pinned to the scheduler after all.

    Args:
        pod: as it was read.
        marks: annotations that it gets instead of ours.
        labels: that it has from the node, by name.
    """
    unpinned: list[Operation] = [{"op": "remove", "path": _NODE_NAME}] if pod.spec.node_name else []
    unlabelled: list[Operation] = [{"op": "remove", "path": _label(key)} for key in labels]
    return [*unpinned, *unlabelled, *_annotated(pod, marks)]


def mark(pod: Pod, marks: Mapping[str, str]) -> list[Operation]:
    """Say something on a pod, and change nothing else."""
    return _annotated(pod, marks)


# --- pieces ---


def _annotated(pod: Pod, marks: Mapping[str, str]) -> list[Operation]:
    """Annotations as they are to be: these, and none of ours besides."""
    have = pod.metadata.annotations
    if not have:
        return [{"op": "add", "path": "/metadata/annotations", "value": dict(marks)}] if marks else []
    gone = [key for key in OURS if key in have and key not in marks]
    return [
        *({"op": "remove", "path": _annotation(key)} for key in gone),
        *({"op": "add", "path": _annotation(key), "value": value} for key, value in marks.items()),
    ]


def _labelled(pod: Pod, labels: Mapping[str, str]) -> list[Operation]:
    if not pod.metadata.labels:
        return [{"op": "add", "path": "/metadata/labels", "value": dict(labels)}] if labels else []
    return [{"op": "add", "path": _label(key), "value": value} for key, value in labels.items()]


def _annotation(key: str) -> str:
    return f"/metadata/annotations/{_escaped(key)}"


def _label(key: str) -> str:
    return f"/metadata/labels/{_escaped(key)}"


def _escaped(key: str) -> str:
    """As a part of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def _term(node: str) -> dict[str, Any]:
    fields = [{"key": "metadata.name", "operator": "In", "values": [node]}]
    return {"weight": WEIGHT, "preference": {"matchFields": fields}}


def _tolerating(pod: Pod) -> Iterator[Operation]:
    found = pod.spec.tolerations
    if any({"key": each.key, "operator": each.operator, "effect": each.effect} == _OUR_SOFT_TAINT for each in found):
        return
    if found:
        yield {"op": "add", "path": "/spec/tolerations/-", "value": _OUR_SOFT_TAINT}
    else:
        yield {"op": "add", "path": "/spec/tolerations", "value": [_OUR_SOFT_TAINT]}


def _preferring(pod: Pod, term: Mapping[str, Any]) -> Iterator[Operation]:
    affinity = pod.spec.affinity
    if affinity is None:
        yield {"op": "add", "path": "/spec/affinity", "value": {"nodeAffinity": {_PREFERRED: [term]}}}
    elif affinity.node_affinity is None:
        yield {"op": "add", "path": "/spec/affinity/nodeAffinity", "value": {_PREFERRED: [term]}}
    elif not affinity.node_affinity.preferred_during_scheduling_ignored_during_execution:
        yield {"op": "add", "path": f"/spec/affinity/nodeAffinity/{_PREFERRED}", "value": [term]}
    else:
        yield {"op": "add", "path": f"/spec/affinity/nodeAffinity/{_PREFERRED}/-", "value": term}
