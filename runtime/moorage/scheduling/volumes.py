"""What a pod's volumes ask, and what the storage objects say about it.

Follows ``plugins/volumebinding`` (bound claims), ``plugins/volumezone`` and the claim part of
``plugins/volumerestrictions``. Unbound WaitForFirstConsumer claims are the scheduler's own choice: "not decidable
here". So are in-tree volumes where a node's CSINode says that their plugin is migrated, because they would be
translated first.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

from moorage.objects.pod import Pod, Volume
from moorage.objects.storage import (
    CsiNode,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    VolumeAttachment,
)

from .plugins import node_affinity
from .plugins.node_affinity import Placement
from .reasons import Finding, Reason

IN_TREE = {
    "gce_persistent_disk": ("kubernetes.io/gce-pd", "pd.csi.storage.gke.io"),
    "aws_elastic_block_store": ("kubernetes.io/aws-ebs", "ebs.csi.aws.com"),
    "cinder": ("kubernetes.io/cinder", "cinder.csi.openstack.org"),
    "azure_disk": ("kubernetes.io/azure-disk", "disk.csi.azure.com"),
    "azure_file": ("kubernetes.io/azure-file", "file.csi.azure.com"),
    "vsphere_volume": ("kubernetes.io/vsphere-volume", "csi.vsphere.vmware.com"),
    "portworx_volume": ("kubernetes.io/portworx-volume", "pxd.portworx.com"),
}
"""In-tree volume source to its plugin's name and the CSI driver that took over."""

COUNTED_IN_TREE = frozenset(
    f"kubernetes.io/{name}" for name in ("gce-pd", "aws-ebs", "cinder", "azure-disk", "portworx-volume")
)
"""In-tree plugins whose volumes count against the CSI driver's limit (``nodevolumelimits/utils.go``)."""

_BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
_SELECTED_NODE = "volume.kubernetes.io/selected-node"
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
_MIGRATED = "storage.alpha.kubernetes.io/migrated-plugins"
_WAIT = "WaitForFirstConsumer"
TOPOLOGY_LABELS = (
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
)
GENERAL_LABEL = dict(zip(TOPOLOGY_LABELS[:2], TOPOLOGY_LABELS[2:], strict=True))

_SOURCES = ("persistent_volume_claim", "ephemeral", "iscsi", "rbd", *IN_TREE)
_NO_SOURCE = (None,) * len(_SOURCES)
_sources = attrgetter(*_SOURCES)  # most volumes are of kinds that decide nothing: they are passed over at one go

Disk = tuple[str, ...]
"""Kind and identity of an in-tree disk; two pods may share it on one node only read-only, or never."""


class ClaimUse(NamedTuple):
    """One volume of a pod that goes through a claim; ``owner`` is the pod's uid when the volume is ephemeral."""

    field: str
    name: str
    owner: str | None = None


class VolumeNeeds(NamedTuple):
    """The volumes of a class of pods that decide placement."""

    namespace: str
    claims: tuple[ClaimUse, ...]
    disks: tuple[tuple[Disk, bool], ...]
    in_tree: tuple[str, ...]


def volume_source(pod: Pod) -> object:
    """The part of a class's identity that its volumes are."""
    needs = volume_needs(pod)
    return None if needs is None else tuple(needs)


def volume_needs(pod: Pod) -> VolumeNeeds | None:
    """Read a pod's volumes; None when none of them decides anything."""
    claims: list[ClaimUse] = []
    disks: list[tuple[Disk, bool]] = []
    in_tree: list[str] = []
    for place, volume in enumerate(pod.spec.volumes):
        if _sources(volume) == _NO_SOURCE:
            continue
        field = f"spec.volumes[{place}]"
        if volume.persistent_volume_claim is not None:
            claims.append(ClaimUse(field, volume.persistent_volume_claim.claim_name))
        elif volume.ephemeral is not None:
            claims.append(ClaimUse(field, f"{pod.metadata.name}-{volume.name}", pod.metadata.uid))
        else:
            in_tree += [kind for kind in IN_TREE if getattr(volume, kind) is not None]
        disks += _disks(volume)
    if not claims and not disks and not in_tree:
        return None
    return VolumeNeeds(pod.metadata.namespace, tuple(claims), tuple(disks), tuple(in_tree))


def _disks(volume: Volume) -> Iterable[tuple[Disk, bool]]:
    if volume.gce_persistent_disk is not None:
        yield ("gce", volume.gce_persistent_disk.pd_name), volume.gce_persistent_disk.read_only
    if volume.aws_elastic_block_store is not None:
        yield ("aws", volume.aws_elastic_block_store.volume_id), False
    if volume.iscsi is not None:
        yield ("iscsi", volume.iscsi.iqn), volume.iscsi.read_only
    if volume.rbd is not None:
        for monitor in volume.rbd.monitors:
            yield ("rbd", volume.rbd.pool, volume.rbd.image, monitor), volume.rbd.read_only


class Storage:
    """The storage objects, by key; ``version`` changes with each of them."""

    # Attachments are kept by node, and claims also by the volume they name: both are asked for in that order.

    def __init__(self) -> None:
        self.version = 0
        self.claims: dict[str, PersistentVolumeClaim] = {}
        self.volumes: dict[str, PersistentVolume] = {}
        self.classes: dict[str, StorageClass] = {}
        self.csi_nodes: dict[str, CsiNode] = {}
        self.attachments: dict[str, VolumeAttachment] = {}
        self.attached_to: dict[str, dict[str, VolumeAttachment]] = {}
        self.claims_of: dict[str, set[str]] = {}

    def put_claim(self, key: str, claim: PersistentVolumeClaim | None) -> None:
        """Replace or remove a claim."""
        old = self.claims.pop(key, None)
        if old is not None and old.spec.volume_name:
            self.claims_of[old.spec.volume_name].discard(key)
            if not self.claims_of[old.spec.volume_name]:
                del self.claims_of[old.spec.volume_name]
        if claim is not None:
            self.claims[key] = claim
            if claim.spec.volume_name:
                self.claims_of.setdefault(claim.spec.volume_name, set()).add(key)

    def put_attachment(self, key: str, attachment: VolumeAttachment | None) -> set[str]:
        """Replace or remove an attachment; returns the nodes concerned."""
        old = self.attachments.pop(key, None)
        nodes = set()
        if old is not None:
            nodes.add(old.spec.node_name)
            self.attached_to[old.spec.node_name].pop(key, None)
            if not self.attached_to[old.spec.node_name]:
                del self.attached_to[old.spec.node_name]
        if attachment is not None:
            nodes.add(attachment.spec.node_name)
            self.attachments[key] = attachment
            self.attached_to.setdefault(attachment.spec.node_name, {})[key] = attachment
        return nodes

    def migrated(self, node: str) -> frozenset[str]:
        """In-tree plugins that a node says are migrated to CSI."""
        csi_node = self.csi_nodes.get(node)
        if csi_node is None:
            return frozenset()
        return frozenset(csi_node.metadata.annotations.get(_MIGRATED, "").split(",")) - {""}


class Plan(NamedTuple):
    """What a pod's claims come to, given the storage objects: for every node alike, and for each node."""

    version: int
    everywhere: tuple[Finding, ...] = ()
    reachable: tuple[tuple[str, Placement, str | None], ...] = ()
    zones: tuple[tuple[str, str, frozenset[str]], ...] = ()
    selected: tuple[tuple[str, str], ...] = ()
    single: tuple[str, ...] = ()
    attached: tuple[tuple[str, str, bool], ...] = ()


def plan(needs: VolumeNeeds, storage: Storage, *, anew: bool = False) -> Plan:
    """Resolve a pod's volumes.

    Args:
        needs: the volumes of the pod's class.
        storage: the storage objects.
        anew: whether this is about a pod that is to replace one of the class: the claims of generic ephemeral volumes
            go with their pod, and those of the new one do not exist yet.

    Returns:
        Findings that hold on every node; volumes' own placement (with the in-tree plugin that might translate it) and
        zones; (field, node) of volumes being made for a node; claims only one pod may use; what is attached.
    """
    everywhere: list[Finding] = []
    reachable: list[tuple[str, Placement, str | None]] = []
    zones: list[tuple[str, str, frozenset[str]]] = []
    selected: list[tuple[str, str]] = []
    single: list[str] = []
    if anew:
        made = [use for use in needs.claims if use.owner is not None]
        everywhere += [Finding(Reason.EPHEMERAL_CLAIM, use.field) for use in made]
        needs = needs._replace(claims=tuple(use for use in needs.claims if use.owner is None))
    for use in needs.claims:
        key = f"{needs.namespace}/{use.name}"
        claim = storage.claims.get(key)
        problem = _claim_problem(use, key, claim)
        if problem is not None or claim is None:
            everywhere += [problem] if problem else []
            continue
        if use.owner is None and "ReadWriteOncePod" in claim.spec.access_modes:
            single.append(key)
        if not claim.spec.volume_name:
            _unbound(use, claim, storage, everywhere, selected)
            continue
        if _BIND_COMPLETED not in claim.metadata.annotations:
            everywhere.append(Finding(Reason.CLAIM_UNBOUND, use.field, f"{key} waits for {claim.spec.volume_name}"))
        volume = storage.volumes.get(claim.spec.volume_name)
        if volume is None:
            everywhere.append(Finding(Reason.VOLUME_ABSENT, use.field, f"{claim.spec.volume_name} of {key}"))
            continue
        required = volume.spec.node_affinity.required if volume.spec.node_affinity else None
        field = f"{use.field}: persistentvolume {volume.metadata.name}"
        plugin = in_tree_plugin(volume)
        if required is not None or plugin is not None:
            placement = node_affinity.of_volume(required, "spec.nodeAffinity.required")
            reachable.append((field, placement, plugin))
        if use.owner is None:
            zones += [(field, name, values) for name, values in _zones(volume)]
    attached = tuple(attachments(needs, storage))
    lists = (tuple(reachable), tuple(zones), tuple(selected), tuple(single), attached)
    return Plan(storage.version, tuple(everywhere), *lists)


def _claim_problem(use: ClaimUse, key: str, claim: PersistentVolumeClaim | None) -> Finding | None:
    if claim is None:
        return Finding(Reason.CLAIM_ABSENT, use.field, key)
    if claim.status.phase == "Lost":
        return Finding(Reason.CLAIM_LOST, use.field, f"{key}: {claim.spec.volume_name}")
    if claim.metadata.deletion_timestamp is not None:
        return Finding(Reason.CLAIM_DELETED, use.field, key)
    if use.owner is not None and not owned(claim, use.owner):
        return Finding(Reason.CLAIM_FOREIGN, use.field, key)
    return None


def owned(claim: PersistentVolumeClaim, uid: str) -> bool:
    """Whether the pod of this uid controls the claim of its ephemeral volume (``ephemeral.VolumeIsForPod``)."""
    controller = claim.metadata.controller()
    return controller is not None and controller.uid == uid


def _unbound(
    use: ClaimUse,
    claim: PersistentVolumeClaim,
    storage: Storage,
    everywhere: list[Finding],
    selected: list[tuple[str, str]],
) -> None:
    key = claim.key
    name = class_name(claim)
    storage_class = storage.classes.get(name) if name else None
    if storage_class is None:
        # VolumeZone does not look at ephemeral volumes, but a claim without a class is "immediate" all the same.
        detail = f"{key}: storage class {name!r} does not exist" if name else f"{key} names no storage class"
        everywhere.append(Finding(Reason.CLAIM_CLASS if use.owner is None else Reason.CLAIM_UNBOUND, use.field, detail))
    elif storage_class.volume_binding_mode is None:
        detail = f"{key}: storage class {name} has no volumeBindingMode"
        everywhere.append(Finding(Reason.CLAIM_CLASS, use.field, detail))
    elif storage_class.volume_binding_mode != _WAIT:
        everywhere.append(Finding(Reason.CLAIM_UNBOUND, use.field, key))
    else:
        everywhere.append(Finding(Reason.WAIT_FOR_FIRST_CONSUMER, use.field, f"{key}, storage class {name}"))
        if _SELECTED_NODE in claim.metadata.annotations:
            selected.append((use.field, claim.metadata.annotations[_SELECTED_NODE]))


def class_name(claim: PersistentVolumeClaim) -> str:
    """The storage class of a claim (``GetPersistentVolumeClaimClass``)."""
    return claim.metadata.annotations.get(_BETA_CLASS, claim.spec.storage_class_name or "")


def in_tree_plugin(volume: PersistentVolume) -> str | None:
    """The in-tree plugin of a volume, or None for CSI, local and the rest."""
    for kind, (plugin, _) in IN_TREE.items():
        if getattr(volume.spec, kind) is not None:
            return plugin
    return None


def _zones(volume: PersistentVolume) -> Iterable[tuple[str, frozenset[str]]]:
    for name in TOPOLOGY_LABELS:
        if name in volume.metadata.labels:
            zones = [zone.strip(" \t\n\v\f\r\x85\xa0") for zone in volume.metadata.labels[name].split("__")]
            if all(zones):
                yield name, frozenset(zones)


def attachments(needs: VolumeNeeds, storage: Storage) -> Iterable[tuple[str, str, bool]]:
    """What a pod's volumes attach: (driver, unique name, in-tree), as ``filterAttachableVolumes`` counts.

    In-tree volumes count for the driver that took them over, but only where a CSINode exists.
    """
    for use in needs.claims:
        claim = storage.claims.get(f"{needs.namespace}/{use.name}")
        if claim is None:
            continue
        volume = storage.volumes.get(claim.spec.volume_name) if claim.spec.volume_name else None
        if volume is None:
            yield from _by_class(claim, storage)
        elif volume.spec.csi is not None:
            if volume.spec.csi.driver and volume.spec.csi.volume_handle:
                yield volume.spec.csi.driver, f"{volume.spec.csi.driver}/{volume.spec.csi.volume_handle}", False
        else:
            plugin = in_tree_plugin(volume)
            if plugin in COUNTED_IN_TREE:
                yield _driver(plugin), f"in-tree/{volume.metadata.name}", True
    for kind in needs.in_tree:
        plugin, driver = IN_TREE[kind]
        if plugin in COUNTED_IN_TREE:
            yield driver, f"in-tree/{kind}", True


def _by_class(claim: PersistentVolumeClaim, storage: Storage) -> Iterable[tuple[str, str, bool]]:
    storage_class = storage.classes.get(class_name(claim))
    if storage_class is None or not storage_class.provisioner:
        return
    provisioner = storage_class.provisioner
    if any(plugin == provisioner for plugin, _ in IN_TREE.values()):
        if provisioner in COUNTED_IN_TREE:
            yield _driver(provisioner), f"unbound/{claim.key}", True
    else:
        yield provisioner, f"unbound/{claim.key}", False


def _driver(plugin: str) -> str:
    return next(driver for name, driver in IN_TREE.values() if name == plugin)
