"""Nodes: promised properties, real properties, and whether a kubelet has reported."""

from __future__ import annotations

import msgspec

from .base import Condition, KubeObject, Object, Quantities

COPIED_LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")
"""Labels of a Node that the API server gives the pods on it, from 1.35 on (plugin/pkg/admission/podtopologylabels)."""
VOLUMES = "attachable-volumes-"
"""Begins the resources that limit how many volumes a node attaches."""
CSI_VOLUMES = f"{VOLUMES}csi-"
"""Begins those of a CSI driver, whose name follows."""


class Taint(Object, frozen=True):
    """A taint; ``effect`` is NoSchedule, PreferNoSchedule or NoExecute."""

    key: str = ""
    value: str = ""
    effect: str = ""
    time_added: str | None = None


class NodeSpec(Object, frozen=True):
    """``spec`` of a node."""

    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()
    provider_id: str = msgspec.field(default="", name="providerID")


class NodeSystemInfo(Object, frozen=True):
    """``status.nodeInfo``. A kubelet version tells a real node from a placeholder."""

    kubelet_version: str = ""
    machine_id: str = msgspec.field(default="", name="machineID")
    system_uuid: str = msgspec.field(default="", name="systemUUID")
    boot_id: str = msgspec.field(default="", name="bootID")
    operating_system: str = ""
    architecture: str = ""


class NodeStatus(Object, frozen=True):
    """``status`` of a node."""

    allocatable: Quantities = {}
    capacity: Quantities = {}
    conditions: tuple[Condition, ...] = ()
    node_info: NodeSystemInfo = NodeSystemInfo()
    declared_features: tuple[str, ...] = ()


class Node(KubeObject, frozen=True):
    """A node: real once its kubelet has reported, a placeholder until then."""

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def has_kubelet(self) -> bool:
        """Whether a kubelet has ever reported for this node. Such a node is never ours to delete."""
        return bool(self.status.node_info.kubelet_version)

    @property
    def ready(self) -> bool:
        """Whether the node's Ready condition is True."""
        return any(c.type == "Ready" and c.status == "True" for c in self.status.conditions)
