"""The labels, annotations and taints of pods and nodes that the evictor reads."""

from __future__ import annotations

REMOVAL_DISABLED = ("autoscaling.cast.ai/removal-disabled", "beta.evictor.cast.ai/eviction-disabled")
"""Never evict, never remove; the second is deprecated."""
DISPOSABLE = ("autoscaling.cast.ai/disposable", "beta.evictor.cast.ai/disposable")
"""Always evict; the second is the older one."""
SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
SAFE_LOCAL_VOLUMES = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
SCALE_DOWN_DISABLED = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
DO_NOT_DISRUPT = "karpenter.sh/do-not-disrupt"

MANAGED_BY = ("provisioner.cast.ai/managed-by", "cast.ai")
"""On the nodes that scopedMode covers."""
CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
PLACEHOLDER = "moorage.dev/placeholder"
PREPARING = "scheduling.cast.ai/pod-pinning-preparing"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"

NODE_POOL = "karpenter.sh/nodepool"
"""Karpenter's label: the NodePool of a node, which has a NodeClaim then."""

GROUPS = (
    NODE_POOL,
    "eks.amazonaws.com/nodegroup",
    "cloud.google.com/gke-nodepool",
    "kubernetes.azure.com/agentpool",
)
"""Labels that say to which group a node belongs, whose least size may keep its empty nodes."""

VIRTUAL_LABELS = (
    ("eks.amazonaws.com/compute-type", "fargate"),
    ("type", "virtual-kubelet"),
    ("kubernetes.io/role", "virtual-kubelet"),
    ("node.kubernetes.io/instance-type", "eklet"),
)
VIRTUAL_TAINTS = ("virtual-kubelet.io/provider", "eks.amazonaws.com/compute-type")

OURS = frozenset(("castai-evictor", "castai-pod-pinner", "moorage-planner"))
"""The names of our charts."""
PART_OF = ("app.kubernetes.io/part-of", "moorage")
"""On all that our charts make, whatever it is named."""
NAME_LABELS = ("app.kubernetes.io/name", "k8s-app", "app")
"""Where charts and manifests say what a pod runs."""
CLUSTER_AUTOSCALER = "cluster-autoscaler"
KARPENTER = "karpenter"
CRITICAL_CLASSES = frozenset(("system-cluster-critical", "system-node-critical"))
CRITICAL_PRIORITY = 2_000_000_000
"""``scheduling.SystemCriticalPriority``: what people make themselves stays below half of it."""
