"""The kinds that the evictor reads, in an order in which each is understood by the ones before it."""

from __future__ import annotations

from typing import Any

import msgspec

from moorage.kube import resources
from moorage.kube.compact import compact_template
from moorage.kube.resource import Resource
from moorage.objects import KubeObject, NodePool, Object, PodTemplate, Workload
from moorage.objects.workloads import WorkloadSpec


class MakerSpec(WorkloadSpec, frozen=True):
    """``spec`` with the pod template."""

    template: PodTemplate | None = None


class Maker(Workload, frozen=True):
    """A ReplicaSet or ReplicationController with its pod template; without it when it wants no pods."""

    spec: MakerSpec = MakerSpec()


class DeviceClassSpec(Object, frozen=True):
    """The part of a DeviceClass's ``spec`` that says which extended resource its devices may provide (KEP-5004)."""

    extended_resource_name: str = ""


class DeviceClass(KubeObject, frozen=True):
    """A DeviceClass."""

    spec: DeviceClassSpec = DeviceClassSpec()


class ConfigMap(KubeObject, frozen=True):
    """A ConfigMap: texts by key."""

    data: dict[str, str] = msgspec.field(default_factory=dict)


class EvictorConfig(KubeObject, frozen=True):
    """Settings and rules as a resource; its schema is checked later, not while it is read."""

    spec: Any = None
    status: Any = None

    def content(self) -> dict[str, Any]:
        """Return what the schema is checked against."""
        return {"metadata": {"name": self.metadata.name}, **({} if self.spec is None else {"spec": self.spec})}


def _compact(maker: Maker) -> Maker:
    """Keep equal templates once, and drop templates that make no pods."""
    template = maker.spec.template
    kept = compact_template(template) if template is not None and maker.spec.replicas != 0 else None
    return msgspec.structs.replace(maker, spec=msgspec.structs.replace(maker.spec, template=kept))


REPLICA_SETS = Resource("apps/v1", "replicasets", "ReplicaSet", Maker, compact=_compact)
REPLICATION_CONTROLLERS = Resource("v1", "replicationcontrollers", "ReplicationController", Maker, compact=_compact)
DEVICE_CLASSES = Resource("resource.k8s.io/v1", "deviceclasses", "DeviceClass", DeviceClass, namespaced=False)
NODE_CLAIMS = Resource("karpenter.sh/v1", "nodeclaims", "NodeClaim", KubeObject, namespaced=False)
NODE_POOLS = Resource("karpenter.sh/v1", "nodepools", "NodePool", NodePool, namespaced=False)
CONFIG_MAPS = Resource("v1", "configmaps", "ConfigMap", ConfigMap)
EVICTOR_CONFIGS = Resource(
    "autoscaling.cast.ai/v1alpha1", "evictorconfigs", "EvictorConfig", EvictorConfig, namespaced=False
)

KINDS: tuple[Resource[Any], ...] = (
    resources.NAMESPACES,
    resources.STORAGE_CLASSES,
    resources.VOLUMES,
    resources.CLAIMS,
    resources.CSI_NODES,
    resources.VOLUME_ATTACHMENTS,
    DEVICE_CLASSES,
    NODE_CLAIMS,
    NODE_POOLS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    resources.DEPLOYMENTS,
    resources.STATEFUL_SETS,
    resources.DAEMON_SETS,
    resources.JOBS,
    resources.CRON_JOBS,
    resources.DISRUPTION_BUDGETS,
    resources.NODES,
    resources.PODS,
)
"""All kinds that an evaluation reads; the configuration of the evictor comes on top."""
OPTIONAL = frozenset({DEVICE_CLASSES.kind, NODE_CLAIMS.kind, NODE_POOLS.kind})
"""The kinds that not every API server serves: there are none of them then."""
WORKLOADS = (
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    resources.DEPLOYMENTS,
    resources.STATEFUL_SETS,
    resources.DAEMON_SETS,
    resources.JOBS,
    resources.CRON_JOBS,
)
"""Those that make pods, or make what makes them."""
