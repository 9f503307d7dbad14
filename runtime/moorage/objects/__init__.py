"""Narrow immutable structs of API objects, quantities and selectors: data only, no I/O, no decisions."""

from .access import AccessReview, SelfReview
from .base import Condition, KubeObject, Labels, Object, ObjectMeta, OwnerReference, Quantities
from .coordination import Lease, LeaseSpec
from .karpenter import NodePool
from .node import Node, NodeSpec, NodeStatus, NodeSystemInfo, Taint
from .pod import Container, ContainerPort, Pod, PodSpec, PodStatus, PodTemplate, ResourceRequirements, Toleration
from .policies import AdmissionPolicy, AdmissionPolicyBinding, MutatingWebhookConfiguration
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
    "AccessReview",
    "AdmissionPolicy",
    "AdmissionPolicyBinding",
    "Condition",
    "Container",
    "ContainerPort",
    "CsiDriver",
    "CsiNode",
    "KubeObject",
    "Labels",
    "Lease",
    "LeaseSpec",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "NodePool",
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
    "PodTemplate",
    "Quantities",
    "ResourceRequirements",
    "Secret",
    "SelfReview",
    "StorageClass",
    "Taint",
    "Toleration",
    "VolumeAttachment",
    "Workload",
]
