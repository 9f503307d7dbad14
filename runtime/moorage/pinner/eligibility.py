"""Which pods may be bound without the scheduler, or nominated to a node; every other one is left to it, with a reason.

A bound pod that goes wrong is deleted, so only pods that a controller surely creates again are touched (design 6). And
only *plain* ones are bound: whatever the scheduler would still have to arrange for a pod would be missing. Where that
is devices or volumes, the pod can be nominated instead.
"""

from __future__ import annotations

from collections.abc import Iterable

from moorage.objects import Node, Pod, Taint, Toleration
from moorage.protocol import ReasonCode
from moorage.scheduling import Fit, Reason, Verdict, gangs

from .refusal import Nominable, Refusal, Wait

RECREATING = frozenset((("apps/v1", "ReplicaSet"), ("v1", "ReplicationController"), ("apps/v1", "StatefulSet")))
"""Controllers that create a deleted pod again and count nothing against anybody."""

DEFAULT_SCHEDULER = "default-scheduler"

PATIENCE = 60
"""Seconds within which a machine that has joined is Ready, as a rule."""

_NATIVE = ("cpu", "memory", "ephemeral-storage", "pods")

_SCHEDULER_CHOOSES = frozenset((Reason.WAIT_FOR_FIRST_CONSUMER,))
_WANTS_RUNNING_NODE = _SCHEDULER_CHOOSES | {Reason.RESOURCE_CLAIM, Reason.DEVICE_CLASS}
_NO_ROOM = frozenset((Reason.RESOURCE, Reason.TOO_MANY_PODS))


def recreated(pod: Pod) -> bool:
    """Whether a controller creates the pod again after it was deleted."""
    owner = pod.metadata.controller()
    return owner is not None and (owner.api_version, owner.kind) in RECREATING


def refuse(pod: Pod, *, nominated: str = "") -> Refusal | None:
    """Why a pending pod must be left to the scheduler wherever it is to run, or None.

    Args:
        pod: the pod.
        nominated: the node that we have nominated it to; any other nomination is somebody else's.
    """
    return _refuse_state(pod, nominated) or _refuse_owner(pod) or _refuse_claims(pod)


def extended(pod: Pod) -> tuple[str, ...]:
    """The extended resources that a pod wants."""
    containers = (*pod.spec.containers, *pod.spec.init_containers)
    wanted = (name for each in containers for name in (*each.resources.requests, *each.resources.limits))
    found = {name: None for name in wanted if name not in _NATIVE and not name.startswith("hugepages-")}
    return tuple(found)


def refuse_binding(pod: Pod) -> Nominable | None:
    """Why a pod must not be bound without the scheduler wherever it is to run, or None."""
    for name in extended(pod):
        text = f"the pod wants {name}, which a node offers only once it runs"
        return Nominable(Refusal(ReasonCode.SOFT_PIN_UNSUPPORTED, text))
    return None


def refuse_nomination(pod: Pod) -> Refusal | None:
    """Why a pod that only the scheduler can place must not be nominated either, or None."""
    if pod.spec.preemption_policy != "Never":
        return None
    text = "the pod's preemptionPolicy is Never: kube-scheduler would keep a nomination that has become wrong"
    return Refusal(ReasonCode.SOFT_PIN_UNSUPPORTED, text)


def refuse_fit(verdict: Verdict, node: str) -> Refusal | Wait | Nominable | None:
    """What a verdict about a pod and its node means: None for a yes, and to wait where nothing else is in the way.

    Args:
        verdict: of the fit check.
        node: the node's name.
    """
    if verdict.fit is Fit.YES:
        return None
    reasons = {finding.reason for finding in verdict.findings}
    text = f"node {node}: " + "; ".join(str(finding) for finding in verdict.findings)
    if reasons == {Reason.UNREADABLE}:
        return Wait(Refusal(ReasonCode.DEADLINE_PASSED, text))
    reasons.discard(Reason.UNREADABLE)
    if reasons <= _SCHEDULER_CHOOSES:
        return Nominable(Refusal(ReasonCode.SOFT_PIN_UNSUPPORTED, text))
    if reasons <= _WANTS_RUNNING_NODE:
        return Refusal(ReasonCode.SOFT_PIN_UNSUPPORTED, text)
    return Refusal(ReasonCode.NODE_FULL if reasons <= _NO_ROOM else ReasonCode.DOES_NOT_FIT, text)


def refuse_node(node: Node | None) -> Refusal | None:
    """Why no pod is put on a Node, whichever pod: what is deleted goes, and takes its pods along; None when one may be.

    Args:
        node: the Node; None while there is none.
    """
    if node is None or node.metadata.deletion_timestamp is None:
        return None
    held = ", ".join(node.metadata.finalizers)
    by = f", and finalizers hold it: {held}" if held else ""
    return Refusal(ReasonCode.NODE_TERMINATING, f"node {node.metadata.name} is being deleted{by}")


def refuse_impatient(pod: Pod, node: Node | None, taints: Iterable[Taint]) -> Refusal | None:
    """Why a pod is not put on a node as long as that is starting, or None.

    Kubernetes gives every pod five minutes (DefaultTolerationSeconds). One that asks for much less is removed while the
    machine is still starting (pkg/controller/tainteviction), and so would be the next.

    Args:
        pod: the pod.
        node: the Node; None while there is none.
        taints: what removes pods there as long as it starts (``starting.removing_taints``).
    """
    for taint in taints if node is not None else ():
        seconds = _tolerated_for(pod, taint)
        if node is not None and seconds is not None and seconds < PATIENCE:
            state = "still has that taint" if taint in node.spec.taints else "is not Ready yet"
            text = f"node {node.metadata.name} {state}, and the pod tolerates {taint.key} for {max(seconds, 0)} s only"
            return Refusal(ReasonCode.TAINT_WOULD_EVICT, text)
    return None


def refuse_eviction(pod: Pod, taints: Iterable[Taint]) -> Refusal | None:
    """Why a node with these taints would remove the pod again (NoExecute, not tolerated for ever), or None."""
    for taint in taints:
        if taint.effect == "NoExecute" and not any(_tolerates(t, taint) for t in pod.spec.tolerations):
            text = f"taint {taint.key}={taint.value}:NoExecute of the promise would remove the pod from the placeholder"
            return Refusal(ReasonCode.TAINT_WOULD_EVICT, text)
    return None


def _refuse_state(pod: Pod, nominated: str) -> Refusal | None:
    if pod.finished:
        return Refusal(ReasonCode.POD_FINISHED, f"the pod has ended: its phase is {pod.status.phase}")
    if pod.metadata.deletion_timestamp is not None:
        return Refusal(ReasonCode.POD_TERMINATING)
    if pod.spec.scheduling_gates:
        gates = ", ".join(gate.name for gate in pod.spec.scheduling_gates)
        return Refusal(ReasonCode.POD_GATED, f"the pod has scheduling gates: {gates}")
    if pod.spec.scheduler_name not in ("", DEFAULT_SCHEDULER):
        return Refusal(ReasonCode.POD_OTHER_SCHEDULER, f"the pod names the scheduler {pod.spec.scheduler_name}")
    if pod.status.nominated_node_name not in ("", nominated):
        return Refusal(ReasonCode.POD_NOMINATED, f"the pod is nominated to node {pod.status.nominated_node_name}")
    return None


def _refuse_owner(pod: Pod) -> Refusal | None:
    owner = pod.metadata.controller()
    if owner is None:
        return Refusal(ReasonCode.POD_UNMANAGED, "the pod has no controller that would create it again")
    if owner.kind == "DaemonSet":
        return Refusal(ReasonCode.POD_DAEMON, f"the pod belongs to DaemonSet {owner.name}")
    # Whatever the Job's failure policy: we delete pods of failed placeholders, and that sets no DisruptionTarget.
    if owner.kind in ("Job", "CronJob"):
        return Refusal(ReasonCode.POD_JOB, f"the pod belongs to {owner.kind} {owner.name}, which may count its loss")
    if not recreated(pod):
        return Refusal(
            ReasonCode.POD_UNMANAGED,
            f"the pod belongs to {owner.kind} {owner.name} ({owner.api_version}), "
            "which is not known to create it again",
        )
    if gang := gangs.mark(pod):
        return Refusal(ReasonCode.POD_GANG, f"the pod is part of a gang: label {gang}")
    return None


def _refuse_claims(pod: Pod) -> Refusal | None:
    for claim in pod.spec.resource_claims:  # kube-scheduler holds no devices of such claims for a nominated pod
        return Refusal(ReasonCode.SOFT_PIN_UNSUPPORTED, f"the pod uses resource claim {claim.name}")
    return None


def _tolerated_for(pod: Pod, taint: Taint) -> int | None:
    """How many seconds a pod stays in spite of a NoExecute taint; None: for ever. The first toleration that matches."""
    matching = (each for each in pod.spec.tolerations if _matches(each, taint))
    found = next(matching, None)
    return 0 if found is None else found.toleration_seconds


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    return toleration.toleration_seconds is None and _matches(toleration, taint)


def _matches(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect not in ("", taint.effect) or toleration.key not in ("", taint.key):
        return False
    return toleration.operator == "Exists" or (
        toleration.operator in ("", "Equal") and bool(toleration.key) and toleration.value == taint.value
    )
