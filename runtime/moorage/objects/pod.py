"""Pods: the fields that placement, pinning and eviction read."""

from __future__ import annotations

import msgspec

from .base import Condition, KubeObject, Labels, Object, Present, Quantities
from .selectors import LabelSelector, NodeSelector, NodeSelectorTerm

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
"""On the mirror pod by which a kubelet shows a static pod (core/v1, MirrorPodAnnotationKey)."""


class ResourceRequirements(Object, frozen=True):
    """Requests and limits of a container, or of the pod as a whole."""

    requests: Quantities = {}
    limits: Quantities = {}


class ContainerPort(Object, frozen=True):
    """A port. Only ``host_port`` affects placement."""

    container_port: int = 0
    host_port: int = 0
    protocol: str = "TCP"
    host_ip: str = msgspec.field(default="", name="hostIP")


class ContainerRestartRule(Object, frozen=True):
    """What happens when the container exits. RestartAllContainers needs a kubelet that declares the feature."""

    action: str = ""


class Container(Object, frozen=True):
    """A container or init container; ``restart_policy`` Always marks a sidecar among init containers."""

    name: str = ""
    resources: ResourceRequirements = ResourceRequirements()
    ports: tuple[ContainerPort, ...] = ()
    restart_policy: str = ""
    restart_policy_rules: tuple[ContainerRestartRule, ...] = ()


class Toleration(Object, frozen=True):
    """A toleration; an empty operator means Equal, an empty effect means every effect."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


class PreferredSchedulingTerm(Object, frozen=True):
    """A weighted node preference."""

    weight: int = 0
    preference: NodeSelectorTerm = NodeSelectorTerm()


class NodeAffinity(Object, frozen=True):
    """Required and preferred node affinity."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    preferred_during_scheduling_ignored_during_execution: tuple[PreferredSchedulingTerm, ...] = ()


class PodAffinityTerm(Object, frozen=True):
    """One inter-pod term; an absent ``namespace_selector`` with no ``namespaces`` means the pod's own namespace."""

    label_selector: LabelSelector | None = None
    namespaces: tuple[str, ...] = ()
    namespace_selector: LabelSelector | None = None
    topology_key: str = ""
    match_label_keys: tuple[str, ...] = ()
    mismatch_label_keys: tuple[str, ...] = ()


class WeightedPodAffinityTerm(Object, frozen=True):
    """A weighted inter-pod preference."""

    weight: int = 0
    pod_affinity_term: PodAffinityTerm = PodAffinityTerm()


class PodAffinity(Object, frozen=True):
    """Required and preferred inter-pod terms, for affinity and anti-affinity alike."""

    required_during_scheduling_ignored_during_execution: tuple[PodAffinityTerm, ...] = ()
    preferred_during_scheduling_ignored_during_execution: tuple[WeightedPodAffinityTerm, ...] = ()


class Affinity(Object, frozen=True):
    """``spec.affinity``."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class TopologySpreadConstraint(Object, frozen=True):
    """One spread constraint; absent policies mean Honor (affinity) and Ignore (taints)."""

    max_skew: int = 1
    topology_key: str = ""
    when_unsatisfiable: str = ""
    label_selector: LabelSelector | None = None
    min_domains: int | None = None
    node_affinity_policy: str | None = None
    node_taints_policy: str | None = None
    match_label_keys: tuple[str, ...] = ()


class ClaimSource(Object, frozen=True):
    """``volumes[].persistentVolumeClaim``."""

    claim_name: str = ""
    read_only: bool = False


class InlineCsi(Object, frozen=True):
    """``volumes[].csi``: an inline CSI volume, which counts against its driver's attach limit."""

    driver: str = ""


class GcePersistentDisk(Object, frozen=True):
    """An in-tree disk that two pods can share only read-only."""

    pd_name: str = ""
    read_only: bool = False


class AwsElasticBlockStore(Object, frozen=True):
    """An in-tree disk that two pods of one node cannot share."""

    volume_id: str = msgspec.field(default="", name="volumeID")


class Iscsi(Object, frozen=True):
    """An in-tree iSCSI target, compared by its qualified name."""

    iqn: str = ""
    read_only: bool = False


class Rbd(Object, frozen=True):
    """An in-tree Ceph image, compared by monitors, pool and image."""

    monitors: tuple[str, ...] = ()
    image: str = ""
    pool: str = "rbd"
    read_only: bool = False


class Volume(Object, frozen=True):
    """A volume. Sources that affect neither placement nor eviction are not declared."""

    name: str = ""
    host_path: Present | None = None
    empty_dir: Present | None = None
    persistent_volume_claim: ClaimSource | None = None
    ephemeral: Present | None = None
    csi: InlineCsi | None = None
    gce_persistent_disk: GcePersistentDisk | None = None
    aws_elastic_block_store: AwsElasticBlockStore | None = None
    iscsi: Iscsi | None = None
    rbd: Rbd | None = None
    azure_disk: Present | None = None
    azure_file: Present | None = None
    cinder: Present | None = None
    vsphere_volume: Present | None = None
    portworx_volume: Present | None = None


class NamedItem(Object, frozen=True):
    """An entry of a list, of which only the name is read (scheduling gates, resource claims)."""

    name: str = ""


class PodOs(Object, frozen=True):
    """``spec.os``: the operating system that the pod is for, ``linux`` or ``windows``."""

    name: str = ""


class PodSpec(Object, frozen=True):
    """``spec`` of a pod."""

    node_name: str = ""
    scheduler_name: str = ""
    priority: int | None = None
    priority_class_name: str = ""
    preemption_policy: str = ""
    restart_policy: str = ""
    host_network: bool = False
    host_users: bool | None = None
    termination_grace_period_seconds: int | None = None
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    resources: ResourceRequirements | None = None
    overhead: Quantities = {}
    node_selector: Labels = {}
    affinity: Affinity | None = None
    tolerations: tuple[Toleration, ...] = ()
    topology_spread_constraints: tuple[TopologySpreadConstraint, ...] = ()
    volumes: tuple[Volume, ...] = ()
    scheduling_gates: tuple[NamedItem, ...] = ()
    resource_claims: tuple[NamedItem, ...] = ()
    os: PodOs | None = None


class StateDetail(Object, frozen=True):
    """Why a container is in its state (``CrashLoopBackOff``, ``OOMKilled``); empty while it runs."""

    reason: str = ""


class ContainerState(Object, frozen=True):
    """The state of a container: exactly one of the three is set."""

    waiting: StateDetail | None = None
    running: StateDetail | None = None
    terminated: StateDetail | None = None


class ContainerStatus(Object, frozen=True):
    """The kubelet's status of one container; ``allocated_resources`` differ from the spec during a resize."""

    name: str = ""
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()
    allocated_resources: Quantities = {}
    resources: ResourceRequirements | None = None


class PodStatus(Object, frozen=True):
    """``status`` of a pod."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    nominated_node_name: str = ""
    start_time: str | None = None
    conditions: tuple[Condition, ...] = ()
    resources: ResourceRequirements | None = None
    allocated_resources: Quantities = {}
    extended_resource_claim_status: Present | None = None
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()


class PodTemplate(KubeObject, frozen=True):
    """``spec.template`` of a controller."""

    spec: PodSpec = PodSpec()


class Pod(KubeObject, frozen=True):
    """A pod."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def finished(self) -> bool:
        """Whether the pod has finished and no longer uses its node."""
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def is_mirror(self) -> bool:
        """Whether it is the mirror pod of a static pod."""
        return MIRROR_ANNOTATION in self.metadata.annotations

    @property
    def deployment(self) -> str:
        """The name of the Deployment that the pod's ReplicaSet is of; empty when there is none.

        It is derived from the name of the ReplicaSet, ``<deployment>-<pod-template-hash>`` (deployment/sync.go), so
        that no ReplicaSet needs to be watched.
        """
        controller, revision = self.metadata.controller(), self.metadata.labels.get("pod-template-hash", "")
        if controller is None or controller.kind != "ReplicaSet" or not revision:
            return ""
        name = controller.name.removesuffix(f"-{revision}")
        return name if name != controller.name else ""
