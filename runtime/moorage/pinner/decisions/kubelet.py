"""What a pod's status tells of its kubelet: whether a container ever ran, and whether the pod was refused. Pure.

A pod that a kubelet does not admit becomes Failed, with a reason and without any container (kubelet.go, ``rejectPod``).
The kind decides, never the reason: kubelets, device plugins and admission handlers of other versions have reasons of
their own. So does a pod that the kubelet had admitted and ended before it began with it.
"""

from __future__ import annotations

from moorage.objects import Pod

from ..names import PIN_ANNOTATION

UNKNOWN = "ContainerStatusUnknown"
"""The kubelet says so of each container of a pod that it ends, when the container was never there or is there no more
(status/status_manager.go, ``TerminatePod``)."""

LIMIT_EXCEEDED = "VolumeAttachmentLimitExceeded"
"""The one reason for which a kubelet refuses a pod that it has admitted: before it begins, but with that status."""


def started(pod: Pod) -> bool:
    """Whether a container of the pod has ever run."""
    statuses = (*pod.status.container_statuses, *pod.status.init_container_statuses)
    return any(s.state.running is not None or s.state.terminated is not None or s.restart_count for s in statuses)


def untouched(pod: Pod) -> bool:
    """Whether no kubelet has ever written to the pod's status."""
    status = pod.status
    return status.start_time is None and not status.container_statuses and not status.init_container_statuses


def refused(pod: Pod) -> bool:
    """Whether a pod has failed before any container of it ran, whatever the reason."""
    if pod.status.phase != "Failed":
        return False
    return not started(pod) or (pod.status.reason == LIMIT_EXCEEDED and not _ran(pod))


def refused_for_room(pod: Pod) -> bool:
    """Whether a pod was refused for what a promise can have got wrong: room, or the node's labels."""
    return refused(pod) and (pod.status.reason.startswith("OutOf") or pod.status.reason == "NodeAffinity")


def marked(pod: Pod) -> bool:
    """Whether a pod was pinned by us: by a binding, or by the webhook."""
    return PIN_ANNOTATION in pod.metadata.annotations


def _ran(pod: Pod) -> bool:
    """Whether a container has surely run: its kubelet knows how it ended, or that it runs."""
    for status in (*pod.status.container_statuses, *pod.status.init_container_statuses):
        ended = status.state.terminated
        if status.state.running is not None or status.restart_count or (ended is not None and ended.reason != UNKNOWN):
            return True
    return False
