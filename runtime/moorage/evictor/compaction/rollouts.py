"""Workloads in a rollout: their pods come and go by themselves, so the evictor leaves them alone."""

from __future__ import annotations

from moorage.evictor.candidates.controllers import Controllers
from moorage.objects import Workload
from moorage.wording import be, counted

_ROLLED_OUT = frozenset(("Deployment", "StatefulSet"))


def under_way(controllers: Controllers, *, midway: bool = False) -> str:
    """Return the controller that is in a rollout, for people; empty when none is.

    Args:
        controllers: the pod's.
        midway: whether pods are being evicted: then a missing pod is no sign of a rollout.
    """
    for kind, controller in zip(controllers.kinds, controllers.objects, strict=False):
        if kind in _ROLLED_OUT and (why := _unfinished(kind, controller, midway=midway)):
            return f"{kind} {controller.metadata.name}: {why}"
    return ""


def _unfinished(kind: str, controller: Workload, *, midway: bool) -> str:
    status = controller.status
    wanted = 1 if controller.spec.replicas is None else controller.spec.replicas
    if status.observed_generation < controller.metadata.generation:
        return "its last change has not been seen yet"
    if status.updated_replicas < wanted and not (midway and status.replicas == status.updated_replicas):
        return f"{status.updated_replicas} of {counted(wanted, 'replica')} {be(status.updated_replicas)} updated"
    if kind == "Deployment" and status.replicas > status.updated_replicas:
        old = status.replicas - status.updated_replicas
        return f"{counted(old, 'old replica')} {be(old)} still there"
    return ""
