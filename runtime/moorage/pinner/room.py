"""What is left on a promised node: the fit check as ``decide`` sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage.objects import Pod
from moorage.protocol import ReasonCode
from moorage.reservations import rules
from moorage.scheduling import Reason

from . import eligibility
from .refusal import Refusal, Wait

if TYPE_CHECKING:
    from .world import World

_NEVER_STARTS = frozenset((Reason.NODE_SELECTOR, Reason.NODE_AFFINITY))
"""What a kubelet refuses a bound pod for, however much room there is (pkg/kubelet/lifecycle/predicate.go)."""


class NodeRoom:
    """One node's room.

    Args:
        world: what is known.
        name: the node's name.
    """

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name

    def admit(self, pod: Pod) -> Refusal | Wait | None:
        """Count a pod in and return None; or return why it does not fit, with all that was admitted before.

        Or why nobody can tell: the node is looked at again when what stands in the way can be read.
        """
        world, name = self._world, self._name
        claim = world.claims.get(pod.key)
        if claim is not None and claim.uid == pod.metadata.uid:
            return Refusal(ReasonCode.POD_BOUND_ELSEWHERE, f"the pod is being bound to node {claim.node}")
        promise = world.reading(name).spec.promise
        refusal: Refusal | Wait | None = eligibility.refuse_eviction(pod, promise.taints if promise is not None else ())
        if refusal is None:
            with world.expected.making_way(pod, name):
                refusal = eligibility.refuse_fit(world.snapshot.verdict(pod, name), name)
        world.wait(pod, name, refusal.why if isinstance(refusal, Wait) else None)
        if refusal is None:
            world.claim(pod, name)
            world.found_in_place(pod, name)
        return refusal

    def misplaced(self, pod: Pod) -> Refusal | None:
        """Why a pod that is bound here can never start here, or None."""
        world = self._world
        if world.known_in_place(pod, self._name):
            return None
        findings = world.snapshot.verdict(pod, self._name).findings
        found = [str(finding) for finding in findings if finding.reason in _NEVER_STARTS] or self._beyond(pod)
        if not found:
            if not any(finding.reason is Reason.UNREADABLE for finding in findings):
                world.found_in_place(pod, self._name)
            return None
        return Refusal(ReasonCode.POD_CHANGED, f"node {self._name}: " + "; ".join(found))

    def _beyond(self, pod: Pod) -> list[str]:
        """What a pod wants more of than there will be on a machine that is still to come: its kubelet would refuse it.

        Until then the pod would keep everybody else off the node.
        """
        node, promise = self._world.nodes.get(self._name), self._world.reading(self._name).spec.promise
        if promise is None or node is None or node.has_kubelet:
            return []
        left = rules.room_left(promise, (pod,))
        return [f"the pod wants more {resource} than is promised" for resource in left if left[resource] < 0]
