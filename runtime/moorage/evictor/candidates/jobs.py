"""Jobs: does a Job survive the eviction of a pod, and is a pod part of a gang?

Follows ``pkg/controller/job``. A pod that is deleted before it succeeds counts as failed. The first matching rule of
the failure policy decides. The Job fails when more pods fail than backoffLimit.
"""

from __future__ import annotations

from collections.abc import Iterator

from moorage.objects import Pod, Workload
from moorage.scheduling import gangs
from moorage.wording import counted

from .reasons import PodFinding, PodReason

_BACKOFF_LIMIT = 6
"""The default of the API server."""


def against(job: Workload, pod: Pod) -> Iterator[PodFinding]:
    """Return why aggressive mode does not evict a Job's pod."""
    if gang := gangs.mark(pod):
        yield PodFinding(PodReason.GANG, gang)
    elif _all_at_once(job):
        yield PodFinding(PodReason.GANG, f"all {job.spec.completions} indexes of {_who(job)} run at the same time")
    if why := _could_fail(job):
        yield PodFinding(PodReason.JOB_RETRIES, why)


def _all_at_once(job: Workload) -> bool:
    """Whether its pods can rely on each other: what Kubernetes treats as a gang (KEP-5547)."""
    spec = job.spec
    return spec.completion_mode == "Indexed" and (spec.parallelism or 1) > 1 and spec.parallelism == spec.completions


def _could_fail(job: Workload) -> str:
    """Why evictions could make the Job fail; empty when even the eviction of all its pods could not."""
    if _ignores_evictions(job):
        return ""
    if job.spec.backoff_limit_per_index is not None:
        return f"{_who(job)} counts the failures of each index, and what is left to them is not known"
    limit = _BACKOFF_LIMIT if job.spec.backoff_limit is None else job.spec.backoff_limit
    running = max(1, job.status.active)
    if job.status.failed + running <= limit:
        return ""
    allowed, now = counted(limit, "failure"), counted(running, "pod")
    return f"{_who(job)} allows {allowed}, has had {job.status.failed}, and has {now} now"


def _ignores_evictions(job: Workload) -> bool:
    """Whether its failure policy ignores DisruptionTarget before any rule that counts or fails."""
    policy = job.spec.pod_failure_policy
    for rule in policy.rules if policy is not None else ():
        if rule.action != "Ignore":
            return False
        if any(each.type == "DisruptionTarget" and each.status == "True" for each in rule.on_pod_conditions):
            return True
    return False


def _who(job: Workload) -> str:
    return f"Job {job.metadata.name}"
