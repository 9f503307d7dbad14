"""Volumes, claims, classes and CSI objects: the fields that decide where a pod with storage can run."""

from __future__ import annotations

import msgspec

from .base import KubeObject, Object, Present, Quantities
from .pod import ResourceRequirements
from .selectors import LabelSelector, NodeSelector


class VolumeNodeAffinity(Object, frozen=True):
    """The nodes from which a volume can be used."""

    required: NodeSelector | None = None


class ClaimRef(Object, frozen=True):
    """The claim a volume is bound to."""

    namespace: str = ""
    name: str = ""
    uid: str = ""


class CsiVolume(Object, frozen=True):
    """``spec.csi`` of a volume."""

    driver: str = ""
    volume_handle: str = ""


class PersistentVolumeSpec(Object, frozen=True):
    """``spec`` of a PersistentVolume."""

    access_modes: tuple[str, ...] = ()
    storage_class_name: str = ""
    volume_mode: str | None = None
    capacity: Quantities = {}
    claim_ref: ClaimRef | None = None
    node_affinity: VolumeNodeAffinity | None = None
    csi: CsiVolume | None = None
    local: Present | None = None
    host_path: Present | None = None
    gce_persistent_disk: Present | None = None
    aws_elastic_block_store: Present | None = None
    azure_disk: Present | None = None
    azure_file: Present | None = None
    cinder: Present | None = None
    vsphere_volume: Present | None = None
    portworx_volume: Present | None = None


class PersistentVolumeStatus(Object, frozen=True):
    """``status`` of a PersistentVolume."""

    phase: str = ""


class PersistentVolume(KubeObject, frozen=True):
    """A volume; zone and region may also be in its labels (VolumeZone)."""

    spec: PersistentVolumeSpec = PersistentVolumeSpec()
    status: PersistentVolumeStatus = PersistentVolumeStatus()


class PersistentVolumeClaimSpec(Object, frozen=True):
    """``spec`` of a claim; ``storage_class_name`` None means the default class, empty means none."""

    volume_name: str = ""
    storage_class_name: str | None = None
    access_modes: tuple[str, ...] = ()
    volume_mode: str | None = None
    selector: LabelSelector | None = None
    resources: ResourceRequirements = ResourceRequirements()


class PersistentVolumeClaimStatus(Object, frozen=True):
    """``status`` of a claim."""

    phase: str = ""


class PersistentVolumeClaim(KubeObject, frozen=True):
    """A claim."""

    spec: PersistentVolumeClaimSpec = PersistentVolumeClaimSpec()
    status: PersistentVolumeClaimStatus = PersistentVolumeClaimStatus()


class TopologySelectorRequirement(Object, frozen=True):
    """One label requirement of a class's allowed topologies."""

    key: str = ""
    values: tuple[str, ...] = ()


class TopologySelectorTerm(Object, frozen=True):
    """Requirements that must all match."""

    match_label_expressions: tuple[TopologySelectorRequirement, ...] = ()


class StorageClass(KubeObject, frozen=True):
    """A storage class; WaitForFirstConsumer leaves the choice of the volume to the scheduler."""

    provisioner: str = ""
    volume_binding_mode: str | None = None
    allowed_topologies: tuple[TopologySelectorTerm, ...] = ()


class Allocatable(Object, frozen=True):
    """How many volumes a driver can attach to a node; ``count`` None means without limit."""

    count: int | None = None


class CsiNodeDriver(Object, frozen=True):
    """A driver registered on a node."""

    name: str = ""
    node_id: str = msgspec.field(default="", name="nodeID")
    allocatable: Allocatable | None = None


class CsiNodeSpec(Object, frozen=True):
    """``spec`` of a CSINode; the server writes ``drivers: null`` for a node without any."""

    drivers: tuple[CsiNodeDriver, ...] | None = None


class CsiNode(KubeObject, frozen=True):
    """The CSI drivers of one node; named after it."""

    spec: CsiNodeSpec = CsiNodeSpec()

    @property
    def drivers(self) -> tuple[CsiNodeDriver, ...]:
        """The drivers on the node; may be empty."""
        return self.spec.drivers or ()


class CsiDriverSpec(Object, frozen=True):
    """``spec`` of a CSIDriver."""

    attach_required: bool | None = None
    storage_capacity: bool | None = None


class CsiDriver(KubeObject, frozen=True):
    """A CSI driver."""

    spec: CsiDriverSpec = CsiDriverSpec()


class VolumeAttachmentSource(Object, frozen=True):
    """``spec.source`` of a VolumeAttachment."""

    persistent_volume_name: str | None = None


class VolumeAttachmentSpec(Object, frozen=True):
    """``spec`` of a VolumeAttachment; ``attacher`` is the CSI driver."""

    attacher: str = ""
    node_name: str = ""
    source: VolumeAttachmentSource = VolumeAttachmentSource()


class VolumeAttachment(KubeObject, frozen=True):
    """A volume that is attached to a node, or will be. It counts against the driver's limit on the node."""

    spec: VolumeAttachmentSpec = VolumeAttachmentSpec()
