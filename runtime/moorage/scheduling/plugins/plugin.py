"""The base of all plugins. Each is one of kube-scheduler's Filter plugins, for all nodes at once or for one node."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

from moorage.objects.base import KubeObject
from moorage.scheduling.nodes import Bools, NodeRecord, NodeTable
from moorage.scheduling.reasons import Finding
from moorage.scheduling.volumes import Volumes

Class = TypeVar("Class", contravariant=True)
"""What a plugin reads of a pod class."""


class Plugin(ABC, Generic[Class]):
    """One plugin of one snapshot.

    ``restrict`` keeps a node exactly when ``findings`` has no reason against it. A plugin that counts pods or reads
    storage objects overrides the methods that report changes; the others do nothing.

    Args:
        nodes: the nodes of the snapshot.
        volumes: its storage objects.
    """

    node_only: ClassVar[bool] = False
    """Whether the class and the node's own fields decide, and pods on nodes do not: then the answer is kept."""

    def __init__(self, nodes: NodeTable, volumes: Volumes) -> None:
        self._nodes = nodes
        self._volumes = volumes

    def skips(self, pod_class: Class) -> bool:  # noqa: ARG002 - most plugins always have a say
        """Whether the plugin ignores this class, as where upstream's PreFilter returns Skip."""
        return False

    @abstractmethod
    def restrict(self, mask: Bools, pod_class: Class) -> None:
        """Clear every slot of ``mask`` whose node a pod of the class does not fit."""

    @abstractmethod
    def findings(self, slot: int, pod_class: Class) -> list[Finding]:
        """Return the reasons why a pod of the class does not fit the node in a slot."""

    def count(self, pod_class: Class, slot: int, sign: int) -> None:
        """Count a pod that comes to a slot (+1) or leaves it (-1); ``pod_class.pods_at`` has it already."""

    def node_changed(self, slot: int, old: NodeRecord | None, new: NodeRecord | None) -> None:
        """React to a node that comes (``old`` is None), changes or goes (``new`` is None)."""

    def storage_changed(self, kind: type[KubeObject], key: str, nodes: set[str]) -> None:
        """React to a storage object that came, changed or went.

        Args:
            kind: its class.
            key: its key.
            nodes: names of the nodes whose attached volumes it may change.
        """

    def grow(self, capacity: int) -> None:
        """Make room for more slots."""

    def sweep(self) -> None:
        """Drop caches that the next question fills again."""
