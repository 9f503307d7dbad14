"""Kinds that a dump has no objects of: either the cluster has none, or the kind was not dumped.

kubectl writes nothing for a kind without objects. If other objects lead to the kind, or if every cluster has it, it was
not dumped; otherwise the cluster has none of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from moorage.evictor import kinds
from moorage.evictor.candidates.names import NODE_POOL
from moorage.kube import resources
from moorage.objects import KubeObject, PersistentVolume, PersistentVolumeClaim, Pod

_ALWAYS = "every cluster has some"
Objects = Mapping[str, Collection[KubeObject]]
"""By kind, with what can be read of those that cannot be read wholly."""


def unseen(objects: Objects, listed: Collection[str]) -> dict[str, str]:
    """Return the kinds that the cluster must have objects of, each with the reason.

    Args:
        objects: what there is.
        listed: kinds that the dump certainly has.
    """
    absent = {each.kind for each in kinds.KINDS} - {kind for kind, found in objects.items() if found} - {*listed}
    found: dict[str, str] = {}
    for kind, why in _reasons(objects):
        if kind in absent:
            found.setdefault(kind, f"none in the dump, and {why}")
    return found


def none(objects: Objects, unseen_kinds: Collection[str]) -> list[str]:
    """Return the kinds that the dump has no objects of, and that the cluster may have none of.

    Args:
        objects: what there is.
        unseen_kinds: those of which there must be some.
    """
    return [
        each.kind
        for each in kinds.KINDS
        if not objects.get(each.kind) and each.kind not in unseen_kinds and each.kind not in kinds.OPTIONAL
    ]


def _reasons(objects: Objects) -> Iterator[tuple[str, str]]:
    yield resources.NAMESPACES.kind, _ALWAYS
    yield from _owners(objects)
    yield from _storage(objects)
    if any(NODE_POOL in node.metadata.labels for node in objects.get("Node", ())):
        yield kinds.NODE_CLAIMS.kind, "there are nodes of Karpenter's"
        yield kinds.NODE_POOLS.kind, "there are nodes of Karpenter's"


def _owners(objects: Objects) -> Iterator[tuple[str, str]]:
    groups = {each.kind: _group(each.group_version) for each in kinds.WORKLOADS}
    for kind in ("Pod", *groups):
        for thing in objects.get(kind, ()):
            for owner in thing.metadata.owner_references:
                if groups.get(owner.kind) == _group(owner.api_version):
                    yield owner.kind, f"{kind} {thing.key} belongs to {owner.kind} {owner.name}"


def _storage(objects: Objects) -> Iterator[tuple[str, str]]:
    for pod in objects.get("Pod", ()):
        if isinstance(pod, Pod) and any(_claims(each) for each in pod.spec.volumes):
            yield resources.CLAIMS.kind, f"Pod {pod.key} uses one"
            yield resources.CSI_NODES.kind, "every node has one"
            if not objects.get(resources.CSI_NODES.kind):  # a dump with these kinds has those, too
                yield resources.VOLUME_ATTACHMENTS.kind, f"Pod {pod.key} uses volumes"
    for claim in objects.get(resources.CLAIMS.kind, ()):
        if isinstance(claim, PersistentVolumeClaim) and claim.spec.volume_name:
            yield resources.VOLUMES.kind, f"PersistentVolumeClaim {claim.key} has one"
        if isinstance(claim, PersistentVolumeClaim) and claim.spec.storage_class_name:
            yield resources.STORAGE_CLASSES.kind, f"PersistentVolumeClaim {claim.key} names one"
    for volume in objects.get(resources.VOLUMES.kind, ()):
        if isinstance(volume, PersistentVolume) and volume.spec.claim_ref is not None:
            yield resources.CLAIMS.kind, f"PersistentVolume {volume.key} is bound to one"


def _claims(volume: Any) -> bool:
    return volume.persistent_volume_claim is not None or volume.ephemeral is not None


def _group(version: str) -> str:
    return version.rpartition("/")[0]
