"""Nominated pods: each reserves its resources on the node that ``status.nominatedNodeName`` names.

Pods of the same or a lower priority are judged as if the nominated pods ran there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from moorage.objects.pod import Pod

from .pod_class import PodClass


class Nominated(NamedTuple):
    """A pod that is nominated to a node."""

    key: str
    priority: int
    pod_class: PodClass


class Nominations:
    """The nominated pods, by node."""

    def __init__(self) -> None:
        self._by_node: dict[str, dict[str, Nominated]] = {}
        self._node_of: dict[str, str] = {}

    @property
    def nodes(self) -> list[str]:
        """The nodes that pods are nominated to, whether they exist or not."""
        return list(self._by_node)

    @property
    def classes(self) -> set[PodClass]:
        """The classes of the nominated pods."""
        return {nominated.pod_class for pods in self._by_node.values() for nominated in pods.values()}

    def put(self, node: str, nominated: Nominated) -> None:
        """Add a pod that is nominated to a node, or move it there."""
        self.drop(nominated.key)
        self._by_node.setdefault(node, {})[nominated.key] = nominated
        self._node_of[nominated.key] = node

    def drop(self, key: str) -> None:
        """Remove a pod."""
        node = self._node_of.pop(key, None)
        if node is None:
            return
        del self._by_node[node][key]
        if not self._by_node[node]:
            del self._by_node[node]

    def ahead_of(self, pod: Pod, node: str) -> Iterator[Nominated]:
        """Yield the other pods nominated to a node whose priority is not lower than that of a pod."""
        priority = pod.spec.priority or 0
        for nominated in self._by_node.get(node, {}).values():
            if nominated.priority >= priority and nominated.key != pod.key:
                yield nominated


def nominated_node(pod: Pod) -> str:
    """Return the node that a pod is nominated to; empty for none. A pod with gates is not in the queue yet."""
    if pod.finished or pod.spec.node_name or pod.spec.scheduling_gates:
        return ""
    return pod.status.nominated_node_name
