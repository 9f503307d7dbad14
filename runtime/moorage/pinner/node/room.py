"""What is left on a promised node: the fit check as ``decide`` sees it. It answers and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from moorage.objects import Pod
from moorage.protocol import ReasonCode
from moorage.reservations import rules
from moorage.scheduling import Reason

from .. import eligibility, kubelet_admission
from ..decisions import published
from ..names import PREPARING
from ..refusal import Nominable, Refusal, Wait
from ..state.cluster import ClusterState

_NEVER_STARTS = frozenset((Reason.NODE_SELECTOR, Reason.NODE_AFFINITY))
"""What a kubelet refuses a bound pod for, however much room there is (pkg/kubelet/lifecycle/predicate.go)."""


class NodeRoom:
    """One node's room.

    Args:
        cluster: what is known.
        name: of the reservation.
    """

    def __init__(self, cluster: ClusterState, name: str) -> None:
        self._cluster = cluster
        self._name = name
        self._node = cluster.node_name(name)

    def admit(self, pods: Sequence[Pod]) -> Mapping[str, Refusal | Wait | Nominable | None]:
        """Ask whether pods fit, each beside those before it that do.

        A pod that nobody can tell about waits until what stands in the way can be read.
        """
        if len(pods) == 1:  # as is usual: nothing is to be tried out
            return {pods[0].metadata.uid: self._admit(pods[0])}
        answers: dict[str, Refusal | Wait | Nominable | None] = {}
        with self._cluster.trial(self._node) as count:
            for left, pod in enumerate(pods, 1 - len(pods)):
                answer = answers[pod.metadata.uid] = self._admit(pod)
                if answer is None and left:
                    count(pod)
        return answers

    def _admit(self, pod: Pod) -> Refusal | Wait | Nominable | None:
        cluster, name = self._cluster, self._name
        claim = cluster.claims.get(pod.key)
        if claim is not None and claim.uid == pod.metadata.uid:
            return Refusal(ReasonCode.POD_BOUND_ELSEWHERE, f"the pod is being bound to node {claim.node}")
        promise = cluster.reading(name).spec.promise
        refusal: Refusal | Wait | Nominable | None = eligibility.refuse_eviction(
            pod, promise.taints if promise is not None else ()
        ) or eligibility.refuse_binding(pod)
        if refusal is None or isinstance(refusal, Nominable):
            refusal = kubelet_admission.refuse(pod, cluster.offered(self._node)) or refusal
        if refusal is None:
            refusal = eligibility.refuse_fit(cluster.expected.verdict(pod, name), self._node)
        if isinstance(refusal, Nominable):
            return eligibility.refuse_nomination(pod) or refusal
        return refusal or cluster.refuse_hostname(pod, name)

    def nominate(self, pods: Sequence[Pod]) -> Mapping[str, Refusal | Wait | None]:
        """Ask of pods that only the scheduler can place whether they fit together, each beside those before it.

        Pods to come of DaemonSets count, and pods that anybody has nominated to the node and that these must yield to.
        """
        cluster = self._cluster
        answers: dict[str, Refusal | Wait | None] = {}
        with cluster.snapshot.trial():
            for pod in pods:
                answer = answers[pod.metadata.uid] = self._beside(pod)
                if answer is None:
                    cluster.snapshot.place(pod, self._node)
        return answers

    def turn(self, now: datetime) -> datetime | None:
        """Whose turn it is to be opened to the scheduler: None when it is this node's, else when to ask again."""
        return self._cluster.turn(self._name, now)

    def _beside(self, pod: Pod) -> Refusal | Wait | None:
        cluster, name = self._cluster, self._name
        node = cluster.node(name)
        missing = published.missing(pod, node, cluster.snapshot.storage) if node is not None else name
        if missing:
            text = (
                f"node {self._node} does not offer {missing} yet: whoever brings it must tolerate the taint {PREPARING}"
            )
            return Wait(Refusal(ReasonCode.DEADLINE_PASSED, text))
        verdict = cluster.as_scheduled(pod, name)
        found = kubelet_admission.refuse(pod, node) or eligibility.refuse_fit(verdict, self._node)
        if not isinstance(found, Nominable):
            return found
        unread = any(finding.reason is Reason.UNREADABLE for finding in verdict.findings)
        return Wait(found.why) if unread else None

    def misplaced(self, pod: Pod) -> Refusal | None:
        """Why a pod that is bound here can never start here, or None."""
        cluster = self._cluster
        if cluster.known_in_place(pod, self._node):
            return None
        findings = cluster.snapshot.verdict(pod, self._node).findings
        found = [str(finding) for finding in findings if finding.reason in _NEVER_STARTS]
        if not found and any(finding.reason is Reason.RESOURCE for finding in findings):
            found = self._beyond(pod)
        if not found:
            if not any(finding.reason is Reason.UNREADABLE for finding in findings):
                cluster.found_in_place(pod, self._node)
            return None
        return Refusal(ReasonCode.POD_CHANGED, f"node {self._node}: " + "; ".join(found))

    def _beyond(self, pod: Pod) -> list[str]:
        """What a pod wants more of than there will be on a machine that is still to come: its kubelet would refuse it.

        Until then the pod would keep everybody else off the node.
        """
        node, promise = self._cluster.node(self._name), self._cluster.reading(self._name).spec.promise
        if promise is None or node is None or node.has_kubelet:
            return []
        left = rules.room_left(promise, (pod,))
        return [f"the pod wants more {resource} than is promised" for resource in left if left[resource] < 0]
