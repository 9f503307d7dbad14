"""Reasons about nodes and pods: two enumerations, each reason with a sentence for people.

The names are constants of reports, metrics and ``docs/guides/evictor-rules.md``: they never change.
"""

from __future__ import annotations

from enum import Enum
from typing import Generic, NamedTuple, TypeVar


class Stance(Enum):
    """What a pod means for its node."""

    HOLDS = "holds"
    """It must stay where it is, and so must its node."""
    MOVES = "moves"
    """It may be evicted."""
    STAYS = "stays"
    """It is never evicted, and its node may go all the same."""


class PodReason(Enum):
    """Reasons about a pod."""

    stance: Stance
    sentence: str

    def __init__(self, stance: Stance, sentence: str) -> None:
        self.stance = stance
        self.sentence = sentence

    # It goes with its node.
    FINISHED = (Stance.STAYS, "the pod has ended")
    TERMINATING = (Stance.STAYS, "the pod is being deleted already")
    STATIC_POD = (Stance.STAYS, "a static pod belongs to its node")
    DAEMON_SET = (Stance.STAYS, "a pod of a DaemonSet belongs to its node")
    # Somebody protects it: nothing outweighs that.
    REMOVAL_DISABLED = (Stance.HOLDS, "it is marked as never to be evicted")
    RULE_REMOVAL_DISABLED = (Stance.HOLDS, "a rule says that it is never evicted")
    SAFE_TO_EVICT = (Stance.HOLDS, "it is marked as not safe to evict, for cluster-autoscaler")
    DO_NOT_DISRUPT = (Stance.HOLDS, "it is marked as not to be disrupted, for Karpenter")
    MARK_UNREADABLE = (Stance.HOLDS, "a mark that could protect it is neither true nor false")
    POD_UNREADABLE = (Stance.HOLDS, "not all of the pod can be read")
    OWNER_UNSEEN = (Stance.HOLDS, "a controller of the pod, which could protect it, cannot be seen")
    # The API server would refuse to evict it.
    SEVERAL_BUDGETS = (Stance.HOLDS, "more than one PodDisruptionBudget selects it, so its eviction is always refused")
    BUDGET_IMPOSSIBLE = (Stance.HOLDS, "its PodDisruptionBudget can never allow an eviction")
    BUDGET_SPENT = (Stance.HOLDS, "its PodDisruptionBudget allows no eviction now")
    BUDGET_STALE = (Stance.HOLDS, "what its PodDisruptionBudget allows is not known yet")
    BUDGET_UNSEEN = (Stance.HOLDS, "whether a PodDisruptionBudget protects it cannot be seen")
    # Guards: disposable outweighs them.
    PHASE_UNKNOWN = (Stance.HOLDS, "whether it runs is not known")
    NAMESPACE_TERMINATING = (Stance.HOLDS, "its namespace is being deleted, so it would not be created again")
    NAMESPACE_UNSEEN = (Stance.HOLDS, "its namespace cannot be seen, so it might not be created again")
    RESOURCE_CLAIM = (Stance.HOLDS, "it uses devices that a ResourceClaim has allocated on this node")
    LOCAL_VOLUME = (Stance.HOLDS, "it has a volume whose data are on this node only")
    VOLUME_UNSEEN = (Stance.HOLDS, "whether a volume of it is on this node only cannot be seen")
    GRACE_PERIOD = (Stance.HOLDS, "it may take longer to end than emptying a node may take")
    OTHER_SCHEDULER = (Stance.HOLDS, "it names another scheduler, whose rules are not known here")
    TOLERATES_CORDON = (
        Stance.HOLDS,
        "it tolerates a cordon, so its replacement may come to the same node again",
    )
    BARE_POD = (Stance.HOLDS, "it has no controller that would create it again")
    OWNER_UNKNOWN = (Stance.HOLDS, "its controller is of a kind that is not known to create it again")
    OWNER_ABSENT = (Stance.HOLDS, "its controller is gone or terminating, so it would not be created again")
    STATEFUL_SET = (Stance.HOLDS, "it is part of a StatefulSet")
    JOB = (Stance.HOLDS, "it belongs to a Job, which only aggressive mode interrupts")
    JOB_RETRIES = (Stance.HOLDS, "its Job could fail because of the eviction")
    GANG = (Stance.HOLDS, "it is part of a gang, whose pods run together or not at all")
    SINGLE_REPLICA = (Stance.HOLDS, "it is the only replica of its controller")
    CLAIM = (Stance.HOLDS, "it uses a PersistentVolumeClaim, which aggressive mode leaves where it is")
    OURSELVES = (Stance.HOLDS, "it is part of Moorage, which aggressive mode leaves alone")
    SYSTEM_CRITICAL = (Stance.HOLDS, "it is critical for the system, and aggressive mode leaves it alone")
    KUBE_SYSTEM = (Stance.HOLDS, "it is the only replica in kube-system, and aggressive mode leaves it alone")
    CLUSTER_AUTOSCALER = (Stance.HOLDS, "it is cluster-autoscaler, which aggressive mode leaves alone")
    KARPENTER = (Stance.HOLDS, "it is Karpenter, which aggressive mode leaves alone")
    # It may be evicted.
    REPLICATED = (Stance.MOVES, "its controller has more than one replica")
    DISPOSABLE = (Stance.MOVES, "it is marked as disposable")
    AGGRESSIVE_REPLICA = (Stance.MOVES, "it is the only replica, and aggressive mode moves those")
    AGGRESSIVE_JOB = (Stance.MOVES, "its Job survives the eviction, and aggressive mode moves such pods")


class NodeReason(Enum):
    """Reasons against emptying a node other than its pods; ``receives``: whether pods may be moved to it."""

    receives: bool
    sentence: str

    def __init__(self, receives: bool, sentence: str) -> None:
        self.receives = receives
        self.sentence = sentence

    NODE_REMOVAL_DISABLED = (True, "the node is marked as never to be removed, not even when it is empty")
    NODE_RULE_REMOVAL_DISABLED = (True, "a rule says that the node is never removed")
    NODE_KEPT_FOR_OTHERS = (True, "the node is marked as not to be removed, for another autoscaler")
    NODE_MARK_UNREADABLE = (True, "a mark that could protect the node is neither true nor false")
    NODE_UNREADABLE = (False, "not all of the node can be read")
    NODE_PODS_UNSEEN = (False, "the pods on the node cannot be listed")
    NODE_OUT_OF_SCOPE = (True, "scopedMode is on, and the node is not one of those it covers")
    NODE_YOUNG = (True, "the node has not existed for long enough")
    NODE_AGE_UNKNOWN = (True, "the age of the node is not known")
    NODE_CONTROL_PLANE = (True, "the node runs the control plane")
    NODE_WINDOWS = (True, "it is a Windows node, and windows is off")
    NODE_PLACEHOLDER = (False, "the node is a placeholder: it has not joined yet")
    NODE_PREPARING = (False, "pods are being pinned to the node")
    NODE_NOT_READY = (False, "the node is not ready")
    NODE_CORDONED = (False, "the node is cordoned")
    NODE_DRAINING = (False, "the evictor is emptying the node")
    NODE_EMPTIED = (False, "the evictor has emptied the node and left it for deletion")
    NODE_RESTING = (True, "the node was handed back lately, and is not tried again at once")
    NODE_DELETED = (False, "the node is being deleted")
    NODE_MARKED = (False, "another program has marked the node for removal, or is at work on it")
    NODE_CLAIM_UNSEEN = (False, "whether Karpenter is removing the node cannot be seen")
    NODE_POOL_CONSOLIDATES = (True, "Karpenter itself empties nodes of its NodePool, and would move the same pods")
    NODE_POOL_KEEPS = (True, "Karpenter keeps nodes of its NodePool when they are empty: nothing is saved")
    NODE_POOL_UNKNOWN = (True, "whether Karpenter removes nodes of its NodePool when they are empty is not known")
    NODE_VIRTUAL = (False, "the node is virtual: nothing is saved when it is empty")


R = TypeVar("R", bound=PodReason | NodeReason)


class Finding(NamedTuple, Generic[R]):
    """A reason with its particulars, for example ``ReplicaSet web-1: 1``."""

    reason: R
    detail: str = ""

    def __str__(self) -> str:
        """Return the sentence for people."""
        return f"{self.reason.sentence} ({self.detail})" if self.detail else self.reason.sentence


PodFinding = Finding[PodReason]
NodeFinding = Finding[NodeReason]
