"""The default rules: what holds a pod that is not disposable, and what lets it move."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from moorage.objects import Pod
from moorage.scheduling.plugins.taint_toleration import tolerates_cordon

from . import jobs, volumes
from .aggressive import spared
from .controllers import Controllers, Made
from .reasons import PodFinding, PodReason
from .view import View

_DEFAULT_SCHEDULER = "default-scheduler"
_PHASES = frozenset(("Pending", "Running"))
_GRACE_SECONDS = 30
"""The default of the API server."""


def against(pod: Pod, view: View, drain_timeout: timedelta) -> Iterator[PodFinding]:
    """Return what holds a pod regardless of its controller and of the number of replicas."""
    spec, phase = pod.spec, pod.status.phase
    if phase not in _PHASES:
        yield PodFinding(PodReason.PHASE_UNKNOWN, f"phase {phase}" if phase else "it has no phase")
    yield from _namespace(pod.metadata.namespace, view)
    if spec.resource_claims:
        yield PodFinding(PodReason.RESOURCE_CLAIM, ", ".join(claim.name for claim in spec.resource_claims))
    elif pod.status.extended_resource_claim_status is not None:
        yield PodFinding(PodReason.RESOURCE_CLAIM, "made by the scheduler for an extended resource")
    yield from volumes.local(pod, view)
    grace = spec.termination_grace_period_seconds
    grace = _GRACE_SECONDS if grace is None else grace
    if grace > drain_timeout.total_seconds():
        detail = f"terminationGracePeriodSeconds: {grace}, drainTimeout: {drain_timeout.total_seconds():g} s"
        yield PodFinding(PodReason.GRACE_PERIOD, detail)
    if spec.scheduler_name not in ("", _DEFAULT_SCHEDULER):
        yield PodFinding(PodReason.OTHER_SCHEDULER, spec.scheduler_name)
    if tolerates_cordon(spec.tolerations):
        yield PodFinding(PodReason.TOLERATES_CORDON)


def of_controller(pod: Pod, controllers: Controllers, *, aggressive: bool) -> Iterator[PodFinding]:
    """Return what the pod's controller means for it: reasons that hold it, or one that lets it move."""
    if controllers.missing:
        yield PodFinding(PodReason.OWNER_ABSENT, controllers.missing)
        return
    match controllers.made:
        case Made.BARE:
            yield PodFinding(PodReason.BARE_POD)
        case Made.STATEFUL_SET:
            yield PodFinding(PodReason.STATEFUL_SET, controllers.direct_owner)
        case Made.JOB:
            yield from _of_job(pod, controllers, aggressive=aggressive)
        case Made.REPLICATED:
            yield from _replicated(pod, controllers, aggressive=aggressive)
        case _:
            yield PodFinding(PodReason.OWNER_UNKNOWN, controllers.direct_owner)


def _namespace(name: str, view: View) -> Iterator[PodFinding]:
    found = view.namespaces.get(name)
    if doubt := view.doubt("Namespace", name):
        yield PodFinding(PodReason.NAMESPACE_UNSEEN, doubt)
    elif found is None:
        yield PodFinding(PodReason.NAMESPACE_UNSEEN, f"there is no Namespace {name}")
    elif found.metadata.deletion_timestamp is not None:
        yield PodFinding(PodReason.NAMESPACE_TERMINATING, name)


def _of_job(pod: Pod, controllers: Controllers, *, aggressive: bool) -> Iterator[PodFinding]:
    if not aggressive:
        yield PodFinding(PodReason.JOB, controllers.direct_owner)
        return
    held = [*jobs.against(controllers.objects[0], pod), *_left_alone(pod, controllers)]
    yield from held or [PodFinding(PodReason.AGGRESSIVE_JOB, controllers.direct_owner)]


def _replicated(pod: Pod, controllers: Controllers, *, aggressive: bool) -> Iterator[PodFinding]:
    replicas = controllers.replicas or 0
    if replicas > 1:
        yield PodFinding(PodReason.REPLICATED, f"{controllers.direct_owner}: {replicas}")
    elif not aggressive:
        yield PodFinding(PodReason.SINGLE_REPLICA, f"{controllers.direct_owner}: {replicas}")
    else:
        held = list(_left_alone(pod, controllers))
        yield from held or [PodFinding(PodReason.AGGRESSIVE_REPLICA, controllers.direct_owner)]


def _left_alone(pod: Pod, controllers: Controllers) -> Iterator[PodFinding]:
    """What aggressive mode does not move: spared pods, pods with claims, and pods of a gang."""
    found = spared(pod, controllers)
    if found is not None:
        yield found
    if used := volumes.claims(pod):
        yield PodFinding(PodReason.CLAIM, ", ".join(used))
