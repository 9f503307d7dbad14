"""All objects of a cluster at one moment, from any source, and what candidates and compaction read of them.

An object that cannot be added to the snapshot counts as unreadable: only verdicts that it could change are unknown.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from moorage.evictor.candidates import View
from moorage.kube import resources
from moorage.kube.unreadable import Unreadable, outline
from moorage.objects import CsiNode, KubeObject, Namespace, ObjectMeta, OwnerReference, Pod, PodTemplate
from moorage.scheduling import Snapshot, Unread
from moorage.scheduling.unread import DECIDES

from . import kinds
from .kinds import Maker

logger = logging.getLogger(__name__)

T = TypeVar("T", bound=KubeObject)

_Id = tuple[str, str]
"""A kind and a key."""
_COUNTED = tuple(each for each in kinds.KINDS if each.type in DECIDES)
"""What the fit check reads."""
_LIMITS = (resources.CSI_NODES, resources.VOLUME_ATTACHMENTS)
"""Kinds that decide how many more volumes a node can attach."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """Objects by kind and key.

    Attributes:
        now: the API server's time.
        objects: by kind (``Node``), then by ``namespace/name`` or the name alone.
        unseen: kinds that could not be listed, each with the reason (``Job``: ``may not list jobs``).
        unread: objects of which not all can be read, by kind and key; none of them is among ``objects``.
    """

    now: datetime
    objects: Mapping[str, Mapping[str, KubeObject]]
    unseen: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, Mapping[str, Unreadable[Any]]] = field(default_factory=dict)

    def of(self, kind: str, of: type[T]) -> dict[str, T]:
        """Return all objects of a kind, with what can be read of unreadable ones."""
        things = {key: thing for key, thing in self.objects.get(kind, {}).items() if isinstance(thing, of)}
        things |= {key: each.rest for key, each in self.unread.get(kind, {}).items() if isinstance(each.rest, of)}
        return things

    def view(self) -> View:
        """Return what candidates are judged by."""
        return View(
            now=self.now,
            nodes=self.of("Node", resources.NODES.type),
            pods=list(self.of("Pod", Pod).values()),
            workloads={each.kind: self.of(each.kind, each.type) for each in kinds.WORKLOADS},
            budgets=self.of("PodDisruptionBudget", resources.DISRUPTION_BUDGETS.type),
            namespaces=self.of("Namespace", resources.NAMESPACES.type),
            claims=self.of("PersistentVolumeClaim", resources.CLAIMS.type),
            volumes=self.of("PersistentVolume", resources.VOLUMES.type),
            node_claims=self.of("NodeClaim", KubeObject),
            node_pools=self.of("NodePool", kinds.NODE_POOLS.type),
            unseen=self.unseen,
            unread={kind: dict(self._doubts(kind)) for kind in self.unread},
        )

    def counted(self) -> tuple[Snapshot, Inventory]:
        """Return the snapshot for fit checks, nominated pods included, and the inventory that it was built from.

        After a failure the object may be counted in part, so the snapshot is built again without it.
        """
        inventory, only_named = self, set[_Id]()
        while True:  # each time there is less that could be in the way
            snapshot = Snapshot(nominated=True)
            snapshot.set_device_classes(inventory._device_resources())
            in_the_way = inventory._count(snapshot, only_named)
            if not in_the_way:
                return snapshot, inventory
            only_named |= {which for which in in_the_way if which[1] in inventory.unread.get(which[0], {})}
            inventory = inventory._without(in_the_way)

    def templates(self) -> dict[str, Pod]:
        """Return the pod templates of ReplicaSets and ReplicationControllers, by uid."""
        templates = {}
        for each in (kinds.REPLICA_SETS, kinds.REPLICATION_CONTROLLERS):
            for maker in self.of(each.kind, Maker).values():
                if maker.spec.template is not None and not self._lacks_template(each.kind, maker):
                    templates[maker.metadata.uid] = _pod(maker, each.group_version, each.kind)
        return templates

    def _lacks_template(self, kind: str, maker: Maker) -> bool:
        unread = self.unread.get(kind, {}).get(maker.key)
        return unread is not None and unread.lacks("spec.template")

    def _doubts(self, kind: str) -> Iterator[tuple[str, Unread]]:
        for key, each in self.unread.get(kind, {}).items():
            yield key, Unread(each.rest, f"{kind} {key}", each.fields, each.reason)

    def _device_resources(self) -> set[str]:
        """The extended resources that device classes may provide."""
        classes = self.of(kinds.DEVICE_CLASSES.kind, kinds.DeviceClass).values()
        return {each.spec.extended_resource_name for each in classes if each.spec.extended_resource_name}

    def _count(self, snapshot: Snapshot, only_named: Collection[_Id]) -> dict[_Id, Exception]:
        """Build the snapshot; return the objects that could not be added."""
        in_the_way: dict[_Id, Exception] = {}
        for which, count in self._counts(snapshot, only_named):
            try:
                count()
            except Exception as error:
                fields = {"kind": which[0], "object": which[1]}
                logger.error("object cannot be counted", extra=fields, exc_info=error)
                in_the_way[which] = error
        for key, unread in (*self._unseen_limits(), *self._unseen_namespaces()):
            snapshot.unread.put(key, unread)
        return in_the_way

    def _counts(self, snapshot: Snapshot, only_named: Collection[_Id]) -> Iterator[tuple[_Id, Callable[[], None]]]:
        """Yield each object, with the call that adds it to a snapshot."""
        for resource in _COUNTED:
            for key, thing in self.objects.get(resource.kind, {}).items():
                yield (resource.kind, key), partial(snapshot.apply, thing)
            for key, unread in self._doubts(resource.kind):
                named = (resource.kind, key) in only_named
                yield (resource.kind, key), partial(snapshot.unread.put if named else snapshot.doubt, key, unread)

    def _without(self, in_the_way: Mapping[_Id, Exception]) -> Inventory:
        """The inventory with some objects made unreadable: only their names and nodes are known."""
        objects = {kind: dict(things) for kind, things in self.objects.items()}
        unread = {kind: dict(things) for kind, things in self.unread.items()}
        for (kind, key), error in in_the_way.items():
            thing = objects.get(kind, {}).pop(key, None)
            if thing is not None:
                rest, fields = outline(thing)
                meta, reason = thing.metadata, f"{type(error).__name__}: {error}"
                odd = Unreadable(key, meta.uid, meta.resource_version, reason, rest, fields)
                unread.setdefault(kind, {})[key] = odd
        return replace(self, objects=objects, unread=unread)

    def _unseen_limits(self) -> Iterator[tuple[str, Unread]]:
        """Without the right to list CSINodes, the volume limits of all nodes are unknown."""
        reason = next((self.unseen[each.kind] for each in _LIMITS if each.kind in self.unseen), None)
        if reason is not None:
            for name in self.objects.get("Node", {}):
                thing = CsiNode(metadata=ObjectMeta(name=name))
                yield name, Unread(thing, f"CSINode {name}", ("metadata.annotations", "spec"), reason)

    def _unseen_namespaces(self) -> Iterator[tuple[str, Unread]]:
        """Without the right to list Namespaces, it is unknown which a namespaceSelector selects."""
        reason = self.unseen.get("Namespace")
        if reason is not None:
            for name in sorted({pod.metadata.namespace for pod in self.objects.get("Pod", {}).values()}):
                thing = Namespace(metadata=ObjectMeta(name=name))
                yield name, Unread(thing, f"Namespace {name}", ("metadata.labels",), reason)


def _pod(maker: Maker, version: str, kind: str) -> Pod:
    """The pod that a template makes, without the changes of admission."""
    template = maker.spec.template or PodTemplate()
    meta = maker.metadata
    owner = OwnerReference(version, kind, meta.name, meta.uid, controller=True)
    labels, annotations = template.metadata.labels, template.metadata.annotations
    made = ObjectMeta(namespace=meta.namespace, labels=labels, annotations=annotations, owner_references=(owner,))
    return Pod(metadata=made, spec=template.spec)
