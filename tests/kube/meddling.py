"""Random changes of pods by other webhooks, and the rules that must hold afterwards."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from moorage.objects import Pod
from moorage.pinner.names import NOT_PINNED_ANNOTATION, PIN_ANNOTATION
from moorage.protocol import Slot
from moorage.reservations import Owner, rules

Json = dict[str, Any]

SPOT, ZONE = "moorage.test/spot", "moorage.test/zone"
AGAIN = 0.3
"""The number of additional changes of a pod by a webhook with reinvocation."""

TOO_MUCH = "64"
"""CPU that no node has."""


class Meddler:
    """Changes pods as webhooks for Spot nodes and sidecar injectors do.

    Args:
        name: of the webhook; it marks the pods that it has seen.
        seed: of its choices.
    """

    def __init__(self, name: str, seed: int) -> None:
        self.mark = f"moorage.test/{name}"
        self.changed_again = 0
        self._random = random.Random(seed)

    def __call__(self, pod: Json) -> list[Json]:
        """The patch of a pod."""
        annotations = pod["metadata"].get("annotations") or {}
        again = self.mark in annotations
        if again and self._random.random() >= AGAIN:
            return []
        self.changed_again += again
        marked = {"op": "add", "path": "/metadata/annotations", "value": {**annotations, self.mark: "seen"}}
        return [marked, *self._random.choice(_CHANGES)(pod)]


def _nothing(_pod: Json) -> list[Json]:
    return []


def _selects(key: str, value: str) -> Callable[[Json], list[Json]]:
    path = f"/spec/nodeSelector/{key.replace('/', '~1')}"
    return lambda _pod: [{"op": "add", "path": path, "value": value}]


def _wants_zone(*zones: str) -> Callable[[Json], list[Json]]:
    expression = {"key": ZONE, "operator": "In", "values": list(zones)}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    return lambda _pod: [{"op": "add", "path": "/spec/affinity", "value": affinity}]


def _tolerates_spot(pod: Json) -> list[Json]:
    toleration = {"key": SPOT, "operator": "Exists"}
    return [{"op": "add", "path": "/spec/tolerations", "value": [*pod["spec"].get("tolerations", ()), toleration]}]


def _sidecar(cpu: str) -> Callable[[Json], list[Json]]:
    def injects(pod: Json) -> list[Json]:
        name = f"sidecar-{len(pod['spec']['containers'])}"
        container = {"name": name, "image": "registry.invalid/sidecar:1", "resources": {"requests": {"cpu": cpu}}}
        return [{"op": "add", "path": "/spec/containers/-", "value": container}]

    return injects


_CHANGES = (
    _nothing,
    _selects(SPOT, "yes"),
    _selects(SPOT, "no"),
    _selects(SPOT, "nowhere"),
    _wants_zone("a", "b"),
    _wants_zone("b"),
    _tolerates_spot,
    _sidecar("5m"),
    _sidecar(TOO_MUCH),
)


# --- what must hold ---


def wrong(
    pods: Sequence[Pod], wanted: Mapping[str, int], labels: Mapping[str, Mapping[str, str]], slots: Sequence[Slot]
) -> list[str]:
    """The mistakes at the end; empty if there are none.

    Args:
        pods: the pods that are not deleted.
        wanted: how many there are to be, by application.
        labels: of the nodes on which they are expected, by node.
        slots: the expected pods on each of these nodes.
    """
    there = Counter(pod.metadata.labels["app"] for pod in pods)
    counts = [f"{app}: {there[app]} pods instead of {count}" for app, count in wanted.items() if there[app] != count]
    failed = [f"{pod.key} has failed: {pod.status.reason}" for pod in pods if pod.status.phase == "Failed"]
    return [*counts, *failed, *_misplaced(pods, labels), *_unexplained(pods, tuple(labels), slots)]


def _misplaced(pods: Iterable[Pod], labels: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for pod in pods:
        node = pod.spec.node_name
        if node in labels and not _fits(pod, labels[node]):
            yield f"{pod.key} is on node {node}, where it can never start"


def _fits(pod: Pod, labels: Mapping[str, str]) -> bool:
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity is not None else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity is not None else None
    terms = required.node_selector_terms if required is not None else ()
    zones = [each.values for term in terms for each in term.match_expressions]
    small = all(container.resources.requests.get("cpu") != TOO_MUCH for container in pod.spec.containers)
    return small and pod.spec.node_selector.items() <= labels.items() and all(labels[ZONE] in each for each in zones)


def _unexplained(pods: Sequence[Pod], nodes: Iterable[str], slots: Sequence[Slot]) -> Iterator[str]:
    """Slots that are free although there are pods for them, and no pod says why it is not there."""
    for slot in slots:
        owner = Owner(kind=slot.owner.kind, namespace=slot.owner.namespace, name=slot.owner.name)
        mine = [pod for pod in pods if rules.belongs_to(pod, owner)]
        on = Counter(pod.spec.node_name for pod in mine)
        free = sum(max(slot.count - on[node], 0) for node in nodes)
        reasons = sum(bool(pod.metadata.annotations.get(NOT_PINNED_ANNOTATION)) for pod in mine)
        if reasons < free:
            yield f"{slot.owner.name}: {free} slots are free, and {reasons} pods say why"
        for node in nodes:
            pinned = sum(pod.spec.node_name == node and PIN_ANNOTATION in pod.metadata.annotations for pod in mine)
            if pinned > slot.count:
                yield f"{slot.owner.name}: {pinned} pods are pinned to node {node}, which has {slot.count} slots"
