"""The storage objects of a snapshot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from moorage.objects.base import KubeObject
from moorage.objects.storage import (
    CsiNode,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    VolumeAttachment,
)

_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
_MIGRATED = "storage.alpha.kubernetes.io/migrated-plugins"

Thing = TypeVar("Thing", bound=KubeObject)


class Storage:
    """The storage objects, by key.

    Attributes:
        version: changes with each object.
        attached_to: the attachments, by node.
        claims_of: the claims, by the volume that they name.
        waiting_for: the claims whose volume is not known, by their storage class, which decides about them.
    """

    def __init__(self) -> None:
        self.version = 0
        self.claims: dict[str, PersistentVolumeClaim] = {}
        self.volumes: dict[str, PersistentVolume] = {}
        self.classes: dict[str, StorageClass] = {}
        self.csi_nodes: dict[str, CsiNode] = {}
        self.attachments: dict[str, VolumeAttachment] = {}
        self.attached_to: dict[str, dict[str, VolumeAttachment]] = {}
        self.claims_of: dict[str, set[str]] = {}
        self.waiting_for: dict[str, set[str]] = {}
        self._attachments_of: dict[str, set[str]] = {}  # by the volume that they attach

    def put(self, kind: type[KubeObject], key: str, thing: KubeObject | None) -> set[str] | None:
        """Replace or remove an object.

        Args:
            kind: its class.
            key: its key.
            thing: the object; None when it is gone.

        Returns:
            The names of the nodes whose attached volumes may have changed; None for a kind that is no storage.
        """
        nodes: set[str] = set()
        if kind is PersistentVolumeClaim:
            self._put_claim(key, thing if isinstance(thing, PersistentVolumeClaim) else None)
        elif kind is PersistentVolume:
            nodes = self._put_volume(key, thing if isinstance(thing, PersistentVolume) else None)
        elif kind is StorageClass:
            _replace(self.classes, key, thing if isinstance(thing, StorageClass) else None)
        elif kind is CsiNode:
            _replace(self.csi_nodes, key, thing if isinstance(thing, CsiNode) else None)
            nodes = {key}
        elif kind is VolumeAttachment:
            nodes = self._put_attachment(key, thing if isinstance(thing, VolumeAttachment) else None)
        else:
            return None
        self.version += 1
        return nodes

    def attached_volumes(self, node: str) -> Iterable[tuple[str, str]]:
        """Yield unique name and driver of every CSI volume that a VolumeAttachment attaches to a node."""
        for attachment in self.attached_to.get(node, {}).values():
            source = attachment.spec.source.persistent_volume_name
            volume = self.volumes.get(source) if source is not None else None
            if attachment.spec.attacher and volume is not None and volume.spec.csi is not None:
                yield f"{attachment.spec.attacher}/{volume.spec.csi.volume_handle}", attachment.spec.attacher

    def migrated(self, node: str) -> frozenset[str]:
        """Return the in-tree plugins that a node's CSINode says are migrated to CSI."""
        csi_node = self.csi_nodes.get(node)
        if csi_node is None:
            return frozenset()
        return frozenset(csi_node.metadata.annotations.get(_MIGRATED, "").split(",")) - {""}

    def _put_claim(self, key: str, claim: PersistentVolumeClaim | None) -> None:
        old = self.claims.pop(key, None)
        if old is not None:
            if old.spec.volume_name:
                _leave(self.claims_of, old.spec.volume_name, key)
            _leave(self.waiting_for, class_name(old), key)
        if claim is not None:
            self.claims[key] = claim
            if claim.spec.volume_name:
                self.claims_of.setdefault(claim.spec.volume_name, set()).add(key)
            self._wait(key, claim)

    def _wait(self, key: str, claim: PersistentVolumeClaim) -> None:
        """Take note of whether the storage class decides about a claim, or its volume does."""
        if claim.spec.volume_name in self.volumes:
            _leave(self.waiting_for, class_name(claim), key)
        else:
            self.waiting_for.setdefault(class_name(claim), set()).add(key)

    def _put_volume(self, key: str, volume: PersistentVolume | None) -> set[str]:
        _replace(self.volumes, key, volume)
        for claim in self.claims_of.get(key, ()):
            self._wait(claim, self.claims[claim])
        return {self.attachments[each].spec.node_name for each in self._attachments_of.get(key, ())}

    def _put_attachment(self, key: str, attachment: VolumeAttachment | None) -> set[str]:
        old = self.attachments.pop(key, None)
        nodes = set()
        if old is not None:
            nodes.add(old.spec.node_name)
            self.attached_to[old.spec.node_name].pop(key, None)
            if not self.attached_to[old.spec.node_name]:
                del self.attached_to[old.spec.node_name]
            _leave(self._attachments_of, _attached(old), key)
        if attachment is not None:
            nodes.add(attachment.spec.node_name)
            self.attachments[key] = attachment
            self.attached_to.setdefault(attachment.spec.node_name, {})[key] = attachment
            self._attachments_of.setdefault(_attached(attachment), set()).add(key)
        return nodes


def class_name(claim: PersistentVolumeClaim) -> str:
    """Return the storage class of a claim (``GetPersistentVolumeClaimClass``)."""
    return claim.metadata.annotations.get(_BETA_CLASS, claim.spec.storage_class_name or "")


def _replace(things: dict[str, Thing], key: str, thing: Thing | None) -> None:
    if thing is None:
        things.pop(key, None)
    else:
        things[key] = thing


def _leave(index: dict[str, set[str]], value: str, key: str) -> None:
    """Remove a key from an index, and an empty value with it."""
    keys = index.get(value)
    if keys is not None:
        keys.discard(key)
        if not keys:
            del index[value]


def _attached(attachment: VolumeAttachment) -> str:
    """The volume of an attachment; empty for one that names none (an inline volume)."""
    return attachment.spec.source.persistent_volume_name or ""
