"""The floor of a workload without a PodDisruptionBudget: how many available pods it keeps, and which pods count. Pure.

A rolling update limits how many pods may be unavailable. Percentages are rounded down, as in the Deployment controller
(pkg/controller/deployment/util/deployment_util.go, ``ResolveFenceposts`` and ``MaxUnavailable``) and the StatefulSet
controller (pkg/controller/statefulset/stateful_set_utils.go, ``getStatefulSetMaxUnavailable``).
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from moorage.objects import Condition, Pod, Workload
from moorage.objects.workloads import UpdateStrategy
from moorage.reservations import moment

_PERCENTAGE = re.compile(r"([0-9]{1,9})%")


def least(kind: str, workload: Workload) -> int:
    """The available pods that a workload keeps: replicas − max(1, maxUnavailable), at least one.

    Args:
        kind: ``Deployment``, ``ReplicaSet``, ``ReplicationController`` or ``StatefulSet``.
        workload: the top-level controller.
    """
    replicas = wanted(workload)
    return max(1, replicas - max(1, max_unavailable(kind, workload)))


def wanted(workload: Workload) -> int:
    """The desired replicas of a workload; one when the field is missing."""
    return 1 if workload.spec.replicas is None else workload.spec.replicas


def max_unavailable(kind: str, workload: Workload) -> int:
    """How many pods a rolling update may make unavailable; 0 when the workload does not say."""
    if kind == "Deployment":
        return _scaled(workload.spec.strategy, wanted(workload))
    if kind == "StatefulSet":
        return _scaled(workload.spec.update_strategy, wanted(workload))
    return 0


def _scaled(strategy: UpdateStrategy, replicas: int) -> int:
    """``GetScaledValueFromIntOrPercent``, rounded down; 0 for an unreadable value."""
    if strategy.type not in ("", "RollingUpdate") or strategy.rolling_update is None:
        return 0
    value = strategy.rolling_update.max_unavailable
    if isinstance(value, int):
        return min(max(value, 0), replicas)
    part = _PERCENTAGE.fullmatch(value or "")
    return min(int(part[1]) * replicas // 100, replicas) if part is not None else 0


def ready_condition(pod: Pod) -> Condition | None:
    """The Ready condition of a pod."""
    return next((each for each in pod.status.conditions if each.type == "Ready"), None)


def ready(pod: Pod) -> bool:
    """Whether the Ready condition of a pod is true."""
    condition = ready_condition(pod)
    return condition is not None and condition.status == "True"


def available(pod: Pod, min_ready_seconds: int, now: datetime) -> bool:
    """Whether a pod is available: Ready for long enough (pkg/api/v1/pod/util.go, ``IsPodAvailable``).

    A terminating pod never is.

    Args:
        pod: any pod.
        min_ready_seconds: the field of its controller.
        now: the API server's time.
    """
    condition = ready_condition(pod)
    if condition is None or condition.status != "True" or pod.finished:
        return False
    if pod.metadata.deletion_timestamp is not None:
        return False
    if min_ready_seconds <= 0:
        return True
    since = moment(condition.last_transition_time or "")
    return since is not None and since + timedelta(seconds=min_ready_seconds) <= now
