"""What a machine that has joined offers only some time later: devices, and volumes of a driver. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from moorage.objects import Node, Pod
from moorage.objects.quantity import QuantityError, parse
from moorage.scheduling.storage import Storage, class_name

from .. import eligibility


def missing(pod: Pod, node: Node, storage: Storage) -> str:
    """What a pod wants that a node does not offer yet; empty when nothing is missing.

    A driver that no node of the cluster has registered is none of CSI, or cannot be told from one: nobody waits for it.
    One that is only promised has no node id.
    """
    for name in eligibility.extended(pod):
        if not _offered(node, name):
            return name
    drivers = {name: {d.name for d in each.drivers if d.node_id} for name, each in storage.csi_nodes.items()}
    for driver in _provisioners(pod, storage):
        if driver not in drivers.get(node.metadata.name, ()) and any(driver in known for known in drivers.values()):
            return f"the volume driver {driver}"
    return ""


def _offered(node: Node, resource: str) -> bool:
    try:
        return parse(node.status.allocatable.get(resource, "0")) > 0
    except QuantityError:
        return False


def _provisioners(pod: Pod, storage: Storage) -> Iterator[str]:
    """Who makes the volumes of a pod's unbound claims."""
    for volume in pod.spec.volumes:
        source = volume.persistent_volume_claim
        name = source.claim_name if source is not None else f"{pod.metadata.name}-{volume.name}"
        claim = storage.claims.get(f"{pod.metadata.namespace}/{name}")
        if (source is None and volume.ephemeral is None) or claim is None or claim.spec.volume_name:
            continue
        storage_class = storage.classes.get(class_name(claim))
        if storage_class is not None:
            yield storage_class.provisioner
