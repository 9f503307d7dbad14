"""Decides whether one more pod may be evicted now, by its budget and the floor of its workload in the whole cluster.

The count is what the watch shows, minus our evictions that it does not show yet. So no eviction takes a workload below
its floor, even if the watch is late. The next eviction waits until a replacement is available.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from moorage.objects import Pod, PodDisruptionBudget
from moorage.scheduling.selectors import NOTHING, Selector, SelectorError, label_selector
from moorage.wording import be, counted

from . import floor
from .cluster_state import ClusterState, Group
from .reasons import Finding, Reason

_BUDGET = "PodDisruptionBudget"


class _Budget(NamedTuple):
    key: str
    budget: PodDisruptionBudget
    selector: Selector
    wrong: str = ""


class EvictionCheck:
    """What may still be evicted.

    Args:
        cluster: the state of the cluster.
        flying: uids of pods that we have or may have evicted, and that the state still shows.
    """

    def __init__(self, cluster: ClusterState, flying: Collection[str]) -> None:
        self._cluster = cluster
        self._flying = set(flying)
        self._budgets: dict[str, list[_Budget]] = {}
        self._selected: dict[str, list[Pod]] = {}

    def against(self, pod: Pod, *, exempt: bool = False) -> Finding | None:
        """Why a pod must not be evicted now; None when it may be.

        Args:
            pod: a pod on a node that is drained.
            exempt: whether the floor does not apply: a single replica in aggressive mode, or a disposable pod. The
                budget applies in any case.
        """
        entry = self._budget_of(pod)
        if isinstance(entry, Finding):
            return entry
        if entry is not None:
            if not floor.ready(pod) and entry.budget.spec.unhealthy_pod_eviction_policy == "AlwaysAllow":
                return None  # the pod is not available, so its workload loses nothing
            if why := self._against_budget(entry, pod):
                return why
        if exempt:
            return None
        group = self._cluster.group(pod)
        if group is None:
            return Finding(Reason.FLOOR_UNKNOWN, "the number of pods that its controller keeps is unknown", pod.key)
        return self._against_floor(group, pod, 1 if entry is not None else floor.least(group.kind, group.workload))

    def take(self, pod: Pod) -> None:
        """Count a pod as gone from now on."""
        self._flying.add(pod.metadata.uid)

    def available(self, uid: str) -> int:
        """Available pods of a workload, by the uid of its top-level controller."""
        return sum(1 for pod in self._cluster.pods_of(uid) if self._counts(pod))

    # --- budgets ---

    def _counts(self, pod: Pod) -> bool:
        return pod.metadata.uid not in self._flying and self._cluster.available(pod)

    def _against_floor(self, group: Group, pod: Pod, least: int) -> Finding | None:
        left = self.available(group.uid) - self._counts(pod)
        if left >= least:
            return None
        detail = f"{group.who} would have {counted(left, 'available pod')}, and keeps {least}"
        return Finding(Reason.FLOOR, detail, pod.key)

    def _against_budget(self, entry: _Budget, pod: Pod) -> Finding | None:
        status = entry.budget.status
        if status.observed_generation < entry.budget.metadata.generation:
            return Finding(Reason.BUDGET_STALE, f"{entry.key}: its status is of an older version", pod.key)
        selected = [each for each in self._selected_by(entry) if each.metadata.uid != pod.metadata.uid]
        left = sum(1 for each in selected if self._counts(each))
        if left < status.desired_healthy:
            wanted = f"{status.desired_healthy} {be(status.desired_healthy)} wanted"
            detail = f"{entry.key}: {counted(left, 'pod')} would be healthy, {wanted}"
            return Finding(Reason.BUDGET_SPENT, detail, pod.key)
        # The server subtracts one when it evicts, and the budget's status may be older than that.
        unseen = sum(1 for each in selected if self._unseen(each, status.disrupted_pods))
        if floor.ready(pod) and status.disruptions_allowed - unseen <= 0:
            return Finding(Reason.BUDGET_SPENT, f"{entry.key} allows {status.disruptions_allowed}", pod.key)
        return None

    def _unseen(self, pod: Pod, disrupted: Collection[str]) -> bool:
        return pod.metadata.uid in self._flying and floor.ready(pod) and pod.metadata.name not in disrupted

    def _selected_by(self, entry: _Budget) -> list[Pod]:
        pods = self._selected.get(entry.key)
        if pods is None:
            pods = self._selected[entry.key] = self._cluster.selected(entry.budget.metadata.namespace, entry.selector)
        return pods

    def _budget_of(self, pod: Pod) -> _Budget | Finding | None:
        """The budget of a pod, or why its eviction is impossible or that is unknown."""
        if _BUDGET in self._cluster.unseen:
            return Finding(Reason.FLOOR_UNKNOWN, self._cluster.unseen[_BUDGET], pod.key)
        budgets = self._in_namespace(pod.metadata.namespace)
        wrong = next((each.wrong for each in budgets if each.wrong), "")
        if wrong:
            return Finding(Reason.FLOOR_UNKNOWN, wrong, pod.key)
        result = [each for each in budgets if each.selector.matches(pod.metadata.labels)]
        if len(result) > 1:
            return Finding(Reason.SEVERAL_BUDGETS, ", ".join(sorted(each.key for each in result)), pod.key)
        return result[0] if result else None

    def _unread(self, namespace: str) -> list[str]:
        keys = self._cluster.unread.get(_BUDGET, {})
        return [key for key in keys if key.startswith(f"{namespace}/")]

    def _in_namespace(self, namespace: str) -> list[_Budget]:
        entries = self._budgets.get(namespace)
        if entries is None:
            budgets = self._cluster.budgets.items()
            entries = [_read(key, each) for key, each in budgets if each.metadata.namespace == namespace]
            entries += [_doubtful(self._cluster.doubt(_BUDGET, key)) for key in self._unread(namespace)]
            self._budgets[namespace] = entries
        return entries


def _doubtful(wrong: str) -> _Budget:
    return _Budget("", PodDisruptionBudget(), NOTHING, wrong)


def _read(key: str, budget: PodDisruptionBudget) -> _Budget:
    try:
        return _Budget(key, budget, label_selector(budget.spec.selector, "spec.selector"))
    except SelectorError as error:
        return _Budget(key, budget, NOTHING, f"{_BUDGET} {key}: {error}")
