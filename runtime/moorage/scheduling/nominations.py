"""Pods that wait for the room nominated to them: others of their priority or less must leave it to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from moorage.objects.pod import Pod

from .pod_class import PodClass


class Nominated(NamedTuple):
    """A pod that is nominated to a node."""

    key: str
    priority: int
    one: PodClass


class Nominations:
    """The nominated pods, by node."""

    def __init__(self) -> None:
        self._on: dict[str, dict[str, Nominated]] = {}
        self._node_of: dict[str, str] = {}

    @property
    def nodes(self) -> list[str]:
        """The nodes that pods are nominated to, whether they are there or not."""
        return list(self._on)

    @property
    def classes(self) -> set[PodClass]:
        """The classes of the nominated pods."""
        return {found.one for pods in self._on.values() for found in pods.values()}

    def put(self, node: str, nominated: Nominated) -> None:
        """Take in a pod that is nominated to a node, or to another one than before."""
        self.drop(nominated.key)
        self._on.setdefault(node, {})[nominated.key] = nominated
        self._node_of[nominated.key] = node

    def drop(self, key: str) -> None:
        """Forget a pod."""
        node = self._node_of.pop(key, None)
        if node is None:
            return
        del self._on[node][key]
        if not self._on[node]:
            del self._on[node]

    def before(self, pod: Pod, node: str) -> Iterator[Nominated]:
        """The pods nominated to a node that a pod must yield to."""
        own = pod.spec.priority or 0
        for found in self._on.get(node, {}).values():
            if found.priority >= own and found.key != pod.key:
                yield found


def wants(pod: Pod) -> str:
    """The node whose room a pod waits for; empty when it waits for none. Pods with gates are not in the queue yet."""
    if pod.finished or pod.spec.node_name or pod.spec.scheduling_gates:
        return ""
    return pod.status.nominated_node_name
