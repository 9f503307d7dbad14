"""What prevents the eviction of a pod or the drain of a node in a rebalancing: owners and marks. No I/O.

A user has named the nodes, so there are fewer conditions than for a program's choice. A pod that nobody would create
again, a pod with data on the node, and a marked pod are never evicted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from moorage.drain import ClusterState, OnNode, Stance
from moorage.drain.cluster_state import belongs_to_node
from moorage.objects import Node, ObjectMeta, Pod
from moorage.scheduling.plugins.taint_toleration import tolerates_cordon

_REPLACED = frozenset(("ReplicaSet", "ReplicationController", "StatefulSet"))
"""Controllers that create a pod again, one at a time, on any node."""
_KEPT = (
    "autoscaling.cast.ai/removal-disabled",
    "beta.evictor.cast.ai/eviction-disabled",
    "karpenter.sh/do-not-disrupt",
)
_SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
_NO = frozenset(("false", "False", "FALSE", "0", "f", "F"))
_TAKEN = (
    "ToBeDeletedByClusterAutoscaler",
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
    "autoscaling.cast.ai/draining",
    "node.kubernetes.io/out-of-service",
    "node.cloudprovider.kubernetes.io/shutdown",
    "cloud.google.com/impending-node-termination",
)
"""Taints of other programs that remove the node."""


def classify(node: Node, pods: Sequence[Pod], cluster: ClusterState) -> Iterator[OnNode]:  # noqa: ARG001
    """What the pods on a node mean for its drain.

    Args:
        node: the node.
        pods: the pods on it.
        cluster: the state of the cluster.
    """
    return map(_stance, pods)


def _stance(pod: Pod) -> OnNode:
    if belongs_to_node(pod):
        return OnNode(pod, Stance.STAYS)
    why = holds(pod)
    return OnNode(pod, Stance.HOLDS, why=why) if why else OnNode(pod, Stance.MOVES)


def moving(pods: Iterable[Pod]) -> Pod | None:
    """The first of these pods that runs and is to be moved; None when there is none."""
    return next((each.pod for each in map(_stance, pods) if each.stance is Stance.MOVES and each.lives), None)


def holds(pod: Pod) -> str:
    """Why a pod must not be moved, for people; empty when it may be."""
    controller = pod.metadata.controller()
    if mark := _kept(pod.metadata):
        return mark
    if controller is None:
        return "nobody would create the pod again"
    if controller.kind not in _REPLACED:
        return f"it is unknown whether its {controller.kind} would create the pod again, and elsewhere"
    if pod.spec.resource_claims:
        return f"it has a claim on devices of the node: {pod.spec.resource_claims[0].name}"
    local = next((volume.name for volume in pod.spec.volumes if volume.host_path is not None), "")
    if local:
        return f"it has data on the node: hostPath {local}"
    return "it tolerates a cordon, and would come back" if tolerates_cordon(pod.spec.tolerations) else ""


def claimed(node: Node, cluster: ClusterState) -> str:
    """What else prevents the drain of a node, for people; empty when nothing does, or when no pod is left to move.

    Args:
        node: the node.
        cluster: the state of the cluster.
    """
    pods = cluster.on(node.metadata.name)
    if not any(each.stance is not Stance.STAYS and each.lives for each in classify(node, pods, cluster)):
        return ""  # another program removed the empty node before our mark was written
    taint = next((taint.key for taint in node.spec.taints if taint.key in _TAKEN), "")
    return f"taint {taint}" if taint else _kept(node.metadata)


def _kept(meta: ObjectMeta) -> str:
    """The mark by which a user excludes a pod or node, as in a manifest; empty when there is none."""
    if meta.annotations.get(_SAFE_TO_EVICT) in _NO:
        return f'{_SAFE_TO_EVICT}: "{meta.annotations[_SAFE_TO_EVICT]}"'
    for key in _KEPT:
        for place in (meta.annotations, meta.labels):
            if key in place and place[key] not in _NO:
                return f'{key}: "{place[key][:60]}"'
    return ""
