"""Which pods may be bound without the scheduler (design 6); every other one is left to it, with a reason.

A bound pod that goes wrong is deleted, so only pods that a controller surely creates again are touched. And only
*plain* ones: whatever the scheduler would still have to arrange for a pod (devices, claims, volumes) would be missing.
"""

from __future__ import annotations

from collections.abc import Iterable

from moorage.objects import Pod, Taint, Toleration
from moorage.protocol import ReasonCode
from moorage.scheduling import Fit, Reason, Verdict

from .refusal import Refusal, Wait

RECREATING = frozenset((("apps/v1", "ReplicaSet"), ("v1", "ReplicationController"), ("apps/v1", "StatefulSet")))
"""Controllers that create a deleted pod again and count nothing against anybody."""

DEFAULT_SCHEDULER = "default-scheduler"

GANG_LABELS = (
    "scheduling.x-k8s.io/pod-group",
    "pod-group.scheduling.sigs.k8s.io",
    "pod-group.scheduling.sigs.k8s.io/name",
    "scheduling.k8s.io/group-name",
    "gang.scheduling.koordinator.sh/name",
    "scheduling.koordinator.sh/gang-name",
    "volcano.sh/job-name",
    "yunikorn.apache.org/task-group-name",
)

_NATIVE = ("cpu", "memory", "ephemeral-storage", "pods")

_WANTS_RUNNING_NODE = frozenset((Reason.WAIT_FOR_FIRST_CONSUMER, Reason.RESOURCE_CLAIM, Reason.DEVICE_CLASS))
_NO_ROOM = frozenset((Reason.RESOURCE, Reason.TOO_MANY_PODS))


def recreated(pod: Pod) -> bool:
    """Whether a controller creates the pod again after it was deleted."""
    owner = pod.metadata.controller()
    return owner is not None and (owner.api_version, owner.kind) in RECREATING


def refuse(pod: Pod) -> Refusal | None:
    """Why a pending pod must be left to the scheduler wherever it is to run, or None."""
    return _refuse_state(pod) or _refuse_owner(pod) or _refuse_wishes(pod)


def refuse_fit(verdict: Verdict, node: str) -> Refusal | Wait | None:
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
    if reasons <= _WANTS_RUNNING_NODE:
        return Refusal(ReasonCode.SOFT_PIN_UNSUPPORTED, text)
    return Refusal(ReasonCode.NODE_FULL if reasons <= _NO_ROOM else ReasonCode.DOES_NOT_FIT, text)


def refuse_eviction(pod: Pod, taints: Iterable[Taint]) -> Refusal | None:
    """Why a node with these taints would remove the pod again (NoExecute, not tolerated for ever), or None."""
    for taint in taints:
        if taint.effect == "NoExecute" and not any(_tolerates(t, taint) for t in pod.spec.tolerations):
            text = f"taint {taint.key}={taint.value}:NoExecute of the promise would remove the pod from the placeholder"
            return Refusal(ReasonCode.TAINT_WOULD_EVICT, text)
    return None


def _refuse_state(pod: Pod) -> Refusal | None:
    if pod.finished:
        return Refusal(ReasonCode.POD_FINISHED, f"the pod has ended: its phase is {pod.status.phase}")
    if pod.metadata.deletion_timestamp is not None:
        return Refusal(ReasonCode.POD_TERMINATING)
    if pod.spec.scheduling_gates:
        gates = ", ".join(gate.name for gate in pod.spec.scheduling_gates)
        return Refusal(ReasonCode.POD_GATED, f"the pod has scheduling gates: {gates}")
    if pod.spec.scheduler_name not in ("", DEFAULT_SCHEDULER):
        return Refusal(ReasonCode.POD_OTHER_SCHEDULER, f"the pod names the scheduler {pod.spec.scheduler_name}")
    if pod.status.nominated_node_name:
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
    gang = next((label for label in GANG_LABELS if label in pod.metadata.labels), None)
    if gang is not None:
        return Refusal(ReasonCode.POD_GANG, f"the pod is part of a gang: label {gang}")
    return None


def _refuse_wishes(pod: Pod) -> Refusal | None:
    spec = pod.spec
    if spec.resource_claims:
        return Refusal(ReasonCode.SOFT_PIN_UNSUPPORTED, f"the pod uses resource claim {spec.resource_claims[0].name}")
    for container in (*spec.containers, *spec.init_containers):
        for name in (*container.resources.requests, *container.resources.limits):
            if name not in _NATIVE and not name.startswith("hugepages-"):
                text = f"the pod wants {name}, which a node offers only once it runs"
                return Refusal(ReasonCode.SOFT_PIN_UNSUPPORTED, text)
    return None


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.toleration_seconds is not None:
        return False
    if toleration.effect not in ("", taint.effect) or toleration.key not in ("", taint.key):
        return False
    return toleration.operator == "Exists" or (
        toleration.operator in ("", "Equal") and bool(toleration.key) and toleration.value == taint.value
    )
