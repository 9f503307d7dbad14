"""Narrow immutable structs of API objects, quantities and selectors: data only, no I/O, no decisions."""

from .base import Condition, KubeObject, Labels, Object, ObjectMeta, OwnerReference, Quantities
from .coordination import Lease, LeaseSpec
from .node import Node, NodeSpec, NodeStatus, NodeSystemInfo, Taint
from .pod import Container, ContainerPort, Pod, PodSpec, PodStatus, ResourceRequirements, Toleration
from .secret import Secret
from .storage import (
    CsiDriver,
    CsiNode,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    VolumeAttachment,
)
from .workloads import Namespace, PodDisruptionBudget, Workload

__all__ = [
    "Condition",
    "Container",
    "ContainerPort",
    "CsiDriver",
    "CsiNode",
    "KubeObject",
    "Labels",
    "Lease",
    "LeaseSpec",
    "Namespace",
    "Node",
    "NodeSpec",
    "NodeStatus",
    "NodeSystemInfo",
    "Object",
    "ObjectMeta",
    "OwnerReference",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Pod",
    "PodDisruptionBudget",
    "PodSpec",
    "PodStatus",
    "Quantities",
    "ResourceRequirements",
    "Secret",
    "StorageClass",
    "Taint",
    "Toleration",
    "VolumeAttachment",
    "Workload",
]
