"""The volumes of pods, and the storage objects behind them. Four plugins read them.

The scheduler itself chooses the volume of an unbound WaitForFirstConsumer claim, so such a claim is "not decidable
here". So is an in-tree volume where a node's CSINode says that its plugin is migrated: it is translated first.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple, Protocol

from moorage.objects.pod import Pod, Volume
from moorage.objects.storage import PersistentVolume, PersistentVolumeClaim

from .placement import Placement, of_volume
from .reasons import Finding, Reason
from .storage import Storage, class_name

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
Attachment = tuple[str, str, bool]
"""Driver, unique name of the volume, and whether it is in-tree."""


class ClaimUse(NamedTuple):
    """A volume of a pod with a claim; ``owner`` is the pod's uid when the volume is ephemeral."""

    field: str
    name: str
    owner: str | None = None


class PodVolumes(NamedTuple):
    """The volumes of a pod class that scheduling reads; ``disks`` says of each whether it is read-only."""

    namespace: str
    claims: tuple[ClaimUse, ...]
    disks: tuple[tuple[Disk, bool], ...]
    in_tree: tuple[str, ...]

    def claim_keys(self) -> set[str]:
        """Return the keys of the claims."""
        return {f"{self.namespace}/{claim.name}" for claim in self.claims}


class WithVolumes(Protocol):
    """What the plugins for volumes read of a pod class."""

    @property
    def key(self) -> bytes:
        """Its identity."""

    @property
    def volumes(self) -> PodVolumes | None:
        """Its volumes; None when none of them decides anything."""

    @property
    def replaces(self) -> bool:
        """Whether it is about the pod that replaces one of the class.

        Claims of generic ephemeral volumes go with their pod, and those of the new pod do not exist yet.
        """


def volume_source(pod: Pod) -> object:
    """Return what the volumes contribute to the identity of a pod class."""
    volumes = pod_volumes(pod)
    return None if volumes is None else tuple(volumes)


def pod_volumes(pod: Pod) -> PodVolumes | None:
    """Read a pod's volumes; None when none of them decides anything."""
    claims: list[ClaimUse] = []
    disks: list[tuple[Disk, bool]] = []
    in_tree: list[str] = []
    for index, volume in enumerate(pod.spec.volumes):
        if _sources(volume) == _NO_SOURCE:
            continue
        field = f"spec.volumes[{index}]"
        if volume.persistent_volume_claim is not None:
            claims.append(ClaimUse(field, volume.persistent_volume_claim.claim_name))
        elif volume.ephemeral is not None:
            claims.append(ClaimUse(field, f"{pod.metadata.name}-{volume.name}", pod.metadata.uid))
        else:
            in_tree += [kind for kind in IN_TREE if getattr(volume, kind) is not None]
        disks += _disks(volume)
    if not claims and not disks and not in_tree:
        return None
    return PodVolumes(pod.metadata.namespace, tuple(claims), tuple(disks), tuple(in_tree))


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


class NodeAffinityOf(NamedTuple):
    """The node affinity of a volume, and the in-tree plugin that might be translated to CSI."""

    field: str
    placement: Placement
    in_tree_plugin: str | None


class ResolvedVolumes(NamedTuple):
    """The volumes of a pod class, given the storage objects.

    Attributes:
        version: of the storage objects.
        problems: reasons against every node.
        node_affinities: of the volumes.
        zones: field, label and zones of volumes with zone labels.
        selected: field and node of volumes that are being made for a node.
        single_pod_claims: keys of the claims that only one pod may use.
        attachments: what is attached to the node.
    """

    version: int
    problems: tuple[Finding, ...] = ()
    node_affinities: tuple[NodeAffinityOf, ...] = ()
    zones: tuple[tuple[str, str, frozenset[str]], ...] = ()
    selected: tuple[tuple[str, str], ...] = ()
    single_pod_claims: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()


class Volumes:
    """Resolves the volumes of pod classes, once for each state of the storage objects."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._resolved: dict[tuple[bytes, bool], ResolvedVolumes] = {}

    def of(self, pod_class: WithVolumes) -> ResolvedVolumes:
        """Return the volumes of a class that has some.

        Raises:
            ValueError: the class has none.
        """
        key = (pod_class.key, pod_class.replaces)
        resolved = self._resolved.get(key)
        if resolved is None or resolved.version != self.storage.version:
            if pod_class.volumes is None:
                raise ValueError("a pod class without volumes has none to resolve")
            resolved = self._resolved[key] = _resolve(pod_class.volumes, self.storage, replaces=pod_class.replaces)
        return resolved

    def sweep(self) -> None:
        """Drop what is resolved; the next question resolves it again."""
        self._resolved.clear()


def _resolve(volumes: PodVolumes, storage: Storage, *, replaces: bool) -> ResolvedVolumes:
    problems: list[Finding] = []
    affinities: list[NodeAffinityOf] = []
    zones: list[tuple[str, str, frozenset[str]]] = []
    selected: list[tuple[str, str]] = []
    single: list[str] = []
    if replaces:
        problems += [Finding(Reason.EPHEMERAL_CLAIM, use.field) for use in volumes.claims if use.owner is not None]
        volumes = volumes._replace(claims=tuple(use for use in volumes.claims if use.owner is None))
    for use in volumes.claims:
        key = f"{volumes.namespace}/{use.name}"
        claim = storage.claims.get(key)
        problem = _claim_problem(use, key, claim)
        if problem is not None or claim is None:
            problems += [problem] if problem else []
            continue
        if use.owner is None and "ReadWriteOncePod" in claim.spec.access_modes:
            single.append(key)
        if not claim.spec.volume_name:
            _unbound(use, claim, storage, problems, selected)
            continue
        if _BIND_COMPLETED not in claim.metadata.annotations:
            problems.append(Finding(Reason.CLAIM_UNBOUND, use.field, f"{key} waits for {claim.spec.volume_name}"))
        volume = storage.volumes.get(claim.spec.volume_name)
        if volume is None:
            problems.append(Finding(Reason.VOLUME_ABSENT, use.field, f"{claim.spec.volume_name} of {key}"))
            continue
        required = volume.spec.node_affinity.required if volume.spec.node_affinity else None
        field = f"{use.field}: persistentvolume {volume.metadata.name}"
        plugin = in_tree_plugin(volume)
        if required is not None or plugin is not None:
            placement = of_volume(required, "spec.nodeAffinity.required")
            affinities.append(NodeAffinityOf(field, placement, plugin))
        if use.owner is None:
            zones += [(field, name, values) for name, values in _zones(volume)]
    attached = tuple(attachments(volumes, storage))
    lists = (tuple(affinities), tuple(zones), tuple(selected), tuple(single), attached)
    return ResolvedVolumes(storage.version, tuple(problems), *lists)


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
    problems: list[Finding],
    selected: list[tuple[str, str]],
) -> None:
    key = claim.key
    name = class_name(claim)
    storage_class = storage.classes.get(name) if name else None
    if storage_class is None:
        # VolumeZone does not look at ephemeral volumes, but a claim without a class is "immediate" all the same.
        detail = f"{key}: storage class {name!r} does not exist" if name else f"{key} names no storage class"
        problems.append(Finding(Reason.CLAIM_CLASS if use.owner is None else Reason.CLAIM_UNBOUND, use.field, detail))
    elif storage_class.volume_binding_mode is None:
        detail = f"{key}: storage class {name} has no volumeBindingMode"
        problems.append(Finding(Reason.CLAIM_CLASS, use.field, detail))
    elif storage_class.volume_binding_mode != _WAIT:
        problems.append(Finding(Reason.CLAIM_UNBOUND, use.field, key))
    else:
        problems.append(Finding(Reason.WAIT_FOR_FIRST_CONSUMER, use.field, f"{key}, storage class {name}"))
        if _SELECTED_NODE in claim.metadata.annotations:
            selected.append((use.field, claim.metadata.annotations[_SELECTED_NODE]))


def in_tree_plugin(volume: PersistentVolume) -> str | None:
    """Return the in-tree plugin of a volume; None for CSI, local and other volumes."""
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


def attachments(volumes: PodVolumes, storage: Storage) -> Iterable[Attachment]:
    """Yield what the volumes attach, as ``filterAttachableVolumes`` counts.

    In-tree volumes count for the driver that took them over, but only where a CSINode exists.
    """
    for use in volumes.claims:
        claim = storage.claims.get(f"{volumes.namespace}/{use.name}")
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
    for kind in volumes.in_tree:
        plugin, driver = IN_TREE[kind]
        if plugin in COUNTED_IN_TREE:
            yield driver, f"in-tree/{kind}", True


def _by_class(claim: PersistentVolumeClaim, storage: Storage) -> Iterable[Attachment]:
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
