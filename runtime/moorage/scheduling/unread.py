"""Objects of which not all can be read. What can be read of them is in the snapshot as of any object.

``doubts`` decides which verdicts they could change.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from moorage.objects.base import KubeObject
from moorage.objects.node import Node
from moorage.objects.pod import Pod
from moorage.objects.storage import (
    CsiNode,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    VolumeAttachment,
)
from moorage.objects.workloads import Namespace

from .reasons import Finding, Reason

DECIDES: dict[type[KubeObject], tuple[str, ...]] = {
    Node: ("metadata.labels", "spec.taints", "spec.unschedulable", "status.allocatable", "status.declaredFeatures"),
    Pod: (
        "metadata.labels",
        "metadata.deletionTimestamp",
        "spec",
        "status.phase",
        "status.conditions",
        "status.resources",
        "status.allocatedResources",
        "status.containerStatuses",
        "status.initContainerStatuses",
    ),
    Namespace: ("metadata.labels",),
    PersistentVolume: ("metadata.labels", "spec"),
    PersistentVolumeClaim: (
        "metadata.annotations",
        "metadata.ownerReferences",
        "metadata.deletionTimestamp",
        "spec",
        "status.phase",
    ),
    StorageClass: ("provisioner", "volumeBindingMode"),
    CsiNode: ("metadata.annotations", "spec"),
    VolumeAttachment: ("spec",),
}
"""The fields that scheduling reads, by kind; an object that lacks only other fields changes no verdict."""


class Unread(NamedTuple):
    """An object of which not all can be read.

    Attributes:
        thing: what can be read of it.
        what: the object's kind and name, for people: ``CSINode worker-1``.
        fields: paths of what cannot be read; a parent stands for all fields below it.
        reason: why it cannot be read.
    """

    thing: KubeObject
    what: str
    fields: tuple[str, ...]
    reason: str

    def lacks(self, *fields: str) -> bool:
        """Whether one of these fields, a field in it or a parent of it cannot be read."""
        return any(_within(field, lost) or _within(lost, field) for field in fields for lost in self.fields)

    @property
    def decides(self) -> bool:
        """Whether scheduling reads a field that cannot be read."""
        return self.lacks(*DECIDES.get(type(self.thing), ()))

    @property
    def finding(self) -> Finding:
        """The reason given for a verdict that it could change."""
        return Finding(Reason.UNREADABLE, self.what, self.reason)


def _within(field: str, other: str) -> bool:
    return field == other or field.startswith(f"{other}.")


class UnreadObjects:
    """The objects of which not all can be read."""

    def __init__(self) -> None:
        self._by_kind: dict[type[KubeObject], dict[str, Unread]] = {}
        self._pods_on: dict[str, dict[str, Unread]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_kind)

    def put(self, key: str, unread: Unread) -> None:
        """Add an object, or replace what cannot be read of it."""
        kind = type(unread.thing)
        self.drop(kind, key)
        if not unread.decides:
            return
        self._by_kind.setdefault(kind, {})[key] = unread
        if isinstance(unread.thing, Pod) and not unread.thing.finished:
            self._pods_on.setdefault(unread.thing.spec.node_name, {})[key] = unread

    def drop(self, kind: type[KubeObject], key: str) -> None:
        """Remove an object."""
        known = self._by_kind.get(kind, {})
        unread = known.pop(key, None)
        if unread is None:
            return
        if not known:
            del self._by_kind[kind]
        if isinstance(unread.thing, Pod):
            on_node = self._pods_on.get(unread.thing.spec.node_name, {})
            on_node.pop(key, None)
            if not on_node:
                self._pods_on.pop(unread.thing.spec.node_name, None)

    def of(self, kind: type[KubeObject], key: str) -> Unread | None:
        """Return an object; None when all of it can be read."""
        return self._by_kind.get(kind, {}).get(key)

    def every(self, kind: type[KubeObject], *fields: str) -> Iterator[tuple[str, Unread]]:
        """Yield the objects of a kind that lack one of some fields, with their keys."""
        for key, unread in self._by_kind.get(kind, {}).items():
            if unread.lacks(*fields):
                yield key, unread

    def pods_on(self, node: str) -> Iterator[tuple[str, Unread]]:
        """Yield the pods on a node that have not finished, with their keys."""
        yield from self._pods_on.get(node, {}).items() if node else ()
