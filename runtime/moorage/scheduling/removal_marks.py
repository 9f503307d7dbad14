"""Labels and taints by which programs mark a node that they remove, or that they still set up."""

from __future__ import annotations

from collections.abc import Iterator

from moorage.objects import Node

EVICTED = "evictor.cast.ai/evicted"
"""An evictor empties the node, or has emptied it."""
DELETION_CANDIDATE = "DeletionCandidateOfClusterAutoscaler"
"""cluster-autoscaler would remove the node, and does not yet."""
REMOVING_TAINTS = (
    "ToBeDeletedByClusterAutoscaler",
    DELETION_CANDIDATE,
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
    "karpenter.sh/unregistered",
    "autoscaling.cast.ai/draining",
    "node.kubernetes.io/out-of-service",
    "node.cloudprovider.kubernetes.io/shutdown",
    "cloud.google.com/impending-node-termination",
)
REMOVING_TAINT_PREFIX = "aws-node-termination-handler/"
DRAINING_LABEL = "autoscaling.cast.ai/draining"


def marks(node: Node) -> Iterator[str]:
    """Yield the marks of a node that programs remove: ``label …``, ``taint …``.

    Args:
        node: the node.
    """
    if DRAINING_LABEL in node.metadata.labels:
        yield f"label {DRAINING_LABEL}"
    for taint in node.spec.taints:
        if taint.key in REMOVING_TAINTS or taint.key.startswith(REMOVING_TAINT_PREFIX):
            yield f"taint {taint.key}"
