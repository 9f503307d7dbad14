"""The objects of which not all can be read. What can be is in the snapshot like everything else.

Which verdicts they could change is ``doubts``'s.
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
"""The fields that placement reads, by kind; where only others are missing nothing is in doubt."""


class Unread(NamedTuple):
    """An object of which not all can be read.

    Attributes:
        thing: what can be read of it.
        what: which one it is, for people: ``CSINode worker-1``.
        fields: paths of what cannot be read; a parent stands for all below it.
        reason: why not.
    """

    thing: KubeObject
    what: str
    fields: tuple[str, ...]
    reason: str

    def lacks(self, *fields: str) -> bool:
        """Whether one of these fields, something in it or what it stands in cannot be read."""
        return any(_within(one, other) or _within(other, one) for one in fields for other in self.fields)

    @property
    def decides(self) -> bool:
        """Whether anything that cannot be read is read by placement."""
        return self.lacks(*DECIDES.get(type(self.thing), ()))

    @property
    def finding(self) -> Finding:
        """What is said of a verdict that it could change."""
        return Finding(Reason.UNREADABLE, self.what, self.reason)


def _within(field: str, other: str) -> bool:
    return field == other or field.startswith(f"{other}.")


class Doubts:
    """The objects that cannot be read."""

    def __init__(self) -> None:
        self._of: dict[type[KubeObject], dict[str, Unread]] = {}
        self._pods_on: dict[str, dict[str, Unread]] = {}

    def __bool__(self) -> bool:
        return bool(self._of)

    def put(self, key: str, unread: Unread) -> None:
        """Take in an object, or what of it cannot be read by now."""
        kind = type(unread.thing)
        self.drop(kind, key)
        if not unread.decides:
            return
        self._of.setdefault(kind, {})[key] = unread
        if isinstance(unread.thing, Pod) and not unread.thing.finished:
            self._pods_on.setdefault(unread.thing.spec.node_name, {})[key] = unread

    def drop(self, kind: type[KubeObject], key: str) -> None:
        """Forget an object."""
        known = self._of.get(kind, {})
        unread = known.pop(key, None)
        if unread is None:
            return
        if not known:
            del self._of[kind]
        if isinstance(unread.thing, Pod):
            on_node = self._pods_on.get(unread.thing.spec.node_name, {})
            on_node.pop(key, None)
            if not on_node:
                self._pods_on.pop(unread.thing.spec.node_name, None)

    def of(self, kind: type[KubeObject], key: str) -> Unread | None:
        """What is known of an object that cannot be read; None when it can."""
        return self._of.get(kind, {}).get(key)

    def every(self, kind: type[KubeObject], *fields: str) -> Iterator[tuple[str, Unread]]:
        """All objects of a kind that lack one of some fields."""
        for key, unread in self._of.get(kind, {}).items():
            if unread.lacks(*fields):
                yield key, unread

    def pods_on(self, node: str) -> Iterator[tuple[str, Unread]]:
        """The pods on a node that cannot be read and have not ended."""
        yield from self._pods_on.get(node, {}).items() if node else ()
