"""What pods and marks of other programs mean for a node under a drain: the rules that chose it, read at each step.

A budget that allows no eviction at the moment holds no pod: the drain waits, and reads the budget again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import msgspec

from moorage import drain
from moorage.drain import ClusterState, OnNode
from moorage.drain.cluster_state import belongs_to_node
from moorage.objects import Node, Pod
from moorage.scheduling import removal_marks

from .candidates import NodeReason, PodReason, PodVerdict, Policy, Stance, View, drain_marks, nodes
from .candidates.controllers import Controllers, Lookup, Made, owner_of
from .candidates.pods import Pods
from .inventory import Inventory
from .rules import node_rules

_STANCES = {
    Stance.MOVES: drain.Stance.MOVES,
    Stance.STAYS: drain.Stance.STAYS,
    Stance.HOLDS: drain.Stance.HOLDS,
}
_EXEMPT = frozenset((PodReason.DISPOSABLE, PodReason.AGGRESSIVE_REPLICA, PodReason.AGGRESSIVE_JOB))
"""Reasons for which a workload may lose a pod whatever is left."""
_SEEN_BY_DRAIN = frozenset(
    (
        NodeReason.NODE_CORDONED,
        NodeReason.NODE_NOT_READY,
        NodeReason.NODE_DELETED,
        NodeReason.NODE_DRAINING,
        NodeReason.NODE_EMPTIED,
        NodeReason.NODE_RESTING,
    )
)
"""Reasons that the drain checks itself."""


class DrainPolicy:
    """Answers the drain's questions.

    Args:
        inventory: all objects at a moment.
        policy: returns the settings that count now.
    """

    def __init__(self, inventory: Callable[[datetime], Inventory], policy: Callable[[], Policy]) -> None:
        self._inventory, self._policy = inventory, policy
        self._known: tuple[ClusterState, _Moment] | None = None

    def classify(self, node: Node, pods: Sequence[Pod], cluster: ClusterState) -> Iterator[OnNode]:
        """Yield what the pods on a node mean for its drain."""
        moment = self._at(cluster)
        rules = node_rules(moment.policy.rules, node.metadata.labels)
        for pod in pods:
            yield _on_node(pod, moment.pods.judge(pod, rules))

    def claimed(self, node: Node, cluster: ClusterState) -> str:
        """Return what else forbids to empty a node, for people; empty when nothing does."""
        moment = self._at(cluster)
        against = nodes.against(_without_agreement(node, moment.policy), moment.view, moment.policy)
        findings = [each for each in against if each.reason not in _SEEN_BY_DRAIN]
        marked_only = all(each.reason is NodeReason.NODE_MARKED for each in findings)
        if marked_only and _is_drained(node, cluster, moment.policy):
            return ""  # the program that removes empty nodes was faster than our mark
        return str(findings[0]) if findings else ""

    def owner(self, pod: Pod) -> str:
        """Return the owner that a pod's eviction counts for."""
        controllers = Lookup(self._known[1].view).of(pod) if self._known is not None else Controllers(Made.UNKNOWN)
        return owner_of(pod, controllers)

    def _at(self, cluster: ClusterState) -> _Moment:
        if self._known is None or self._known[0] is not cluster:
            self._known = (cluster, _Moment(self._inventory(cluster.now).view(), self._policy()))
        return self._known[1]


class _Moment:
    """What is known at one step."""

    def __init__(self, view: View, policy: Policy) -> None:
        self.view, self.policy = view, policy
        self.pods = Pods(view, policy, patient=True)


def _on_node(pod: Pod, verdict: PodVerdict) -> OnNode:
    exempt = any(finding.reason in _EXEMPT for finding in verdict.findings)
    why = str(verdict.findings[0]) if verdict.stance is Stance.HOLDS else ""
    return OnNode(pod, _STANCES[verdict.stance], exempt, why)


def _without_agreement(node: Node, policy: Policy) -> Node:
    """A node under a drain without cluster-autoscaler's taint for candidates, which only agrees with the drain."""
    mark = drain_marks.ours(node, policy)
    if mark is None or mark.phase is not drain.Phase.DRAINING:
        return node
    taints = tuple(each for each in node.spec.taints if each.key != removal_marks.DELETION_CANDIDATE)
    return msgspec.structs.replace(node, spec=msgspec.structs.replace(node.spec, taints=taints))


def _is_drained(node: Node, cluster: ClusterState, policy: Policy) -> bool:
    """Whether all pods that can move have left a node; terminating pods count as gone, as for Karpenter."""
    mark = drain_marks.ours(node, policy)
    begun = mark is not None and mark.phase is drain.Phase.DRAINING
    return begun and not any(_remains(pod) for pod in cluster.on(node.metadata.name))


def _remains(pod: Pod) -> bool:
    """Whether a pod has to be moved."""
    leaves = pod.finished or pod.metadata.deletion_timestamp is not None
    return not leaves and not belongs_to_node(pod)
