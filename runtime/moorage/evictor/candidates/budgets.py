"""PodDisruptionBudgets: would the API server evict this pod?

Follows ``pkg/registry/core/pod/storage/eviction.go``. A pod that does not run yet needs no budget. More than one budget
is always refused. An unready pod may be evicted when enough other pods are ready. A status older than its spec is
waited for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from moorage.objects import Pod, PodDisruptionBudget
from moorage.scheduling.selector_index import SelectorIndex
from moorage.scheduling.selectors import NOTHING, Selector, SelectorError, label_selector
from moorage.wording import counted

from .reasons import PodFinding, PodReason
from .view import View

_KIND = "PodDisruptionBudget"
_NOTHING_AWAY = re.compile(r"0+%?")
_EVERYTHING = re.compile(r"0*100%")


class _Budget(NamedTuple):
    name: str
    selector: Selector
    budget: PodDisruptionBudget
    doubt: str


class Budgets:
    """The budgets of a cluster.

    Args:
        view: where they are.
    """

    def __init__(self, view: View) -> None:
        self._unseen = view.unseen.get(_KIND, "")
        self._doubts: dict[str, list[str]] = {}
        self._index: SelectorIndex[_Budget] = SelectorIndex()
        for key, budget in view.budgets.items():
            namespace, entry = budget.metadata.namespace, _read(view, key, budget)
            if entry.doubt:
                self._doubts.setdefault(namespace, []).append(entry.doubt)
            else:
                self._index.add(entry, frozenset((namespace,)), entry.selector)

    def against(self, pod: Pod) -> Iterator[PodFinding]:
        """Return why the pod cannot be evicted now."""
        if pod.status.phase == "Pending":
            return
        if self._unseen:
            yield PodFinding(PodReason.BUDGET_UNSEEN, self._unseen)
            return
        doubts = self._doubts.get(pod.metadata.namespace, ())
        yield from (PodFinding(PodReason.BUDGET_UNSEEN, doubt) for doubt in doubts)
        selecting = list(self._selecting(pod))
        if len(selecting) > 1:
            yield PodFinding(PodReason.SEVERAL_BUDGETS, ", ".join(sorted(each.name for each in selecting)))
        elif selecting:
            yield from _against(selecting[0], pod)

    def spent_by(self, pod: Pod) -> PodDisruptionBudget | None:
        """Return the budget that the pod's eviction uses up by one, or None.

        Args:
            pod: one with nothing against it.
        """
        if pod.status.phase == "Pending":
            return None
        for each in self._selecting(pod):
            return each.budget if ready(pod) or not _lets_go_unready(each.budget) else None
        return None

    def _selecting(self, pod: Pod) -> Iterator[_Budget]:
        """The budgets that select a pod. Of many in a namespace, the index finds the few that may."""
        labels = pod.metadata.labels
        return (each for each in self._index.candidates(pod.metadata) if each.selector.matches(labels))


def _read(view: View, key: str, budget: PodDisruptionBudget) -> _Budget:
    name, doubt = budget.metadata.name, view.doubt(_KIND, key)
    if doubt:
        return _Budget(name, NOTHING, budget, doubt)
    try:
        return _Budget(name, label_selector(budget.spec.selector, "spec.selector"), budget, "")
    except SelectorError as error:
        return _Budget(name, NOTHING, budget, f"{_KIND} {key}: {error}")


def _against(entry: _Budget, pod: Pod) -> Iterator[PodFinding]:
    status = entry.budget.status
    if not ready(pod) and _lets_go_unready(entry.budget):
        return
    current = status.observed_generation >= entry.budget.metadata.generation
    why = _impossible(entry.budget, current=current)
    if why:
        yield PodFinding(PodReason.BUDGET_IMPOSSIBLE, f"{entry.name}: {why}")
    elif not current:
        yield PodFinding(PodReason.BUDGET_STALE, f"{entry.name}: its status is of an older version")
    elif status.disruptions_allowed <= 0:
        detail = f"{entry.name}: {status.current_healthy} healthy, {status.desired_healthy} wanted"
        yield PodFinding(PodReason.BUDGET_SPENT, detail)


def _impossible(budget: PodDisruptionBudget, *, current: bool) -> str:
    """Why a budget allows no eviction while its spec and the number of its pods stay; empty when it may."""
    spec, status = budget.spec, budget.status
    if spec.max_unavailable is not None and _NOTHING_AWAY.fullmatch(str(spec.max_unavailable)):
        return f"maxUnavailable: {spec.max_unavailable}"
    if isinstance(spec.min_available, str) and _EVERYTHING.fullmatch(spec.min_available):
        return f"minAvailable: {spec.min_available}"
    if current and status.desired_healthy >= status.expected_pods > 0:
        return f"{status.desired_healthy} of {counted(status.expected_pods, 'pod')} must be available"
    return ""


def _lets_go_unready(budget: PodDisruptionBudget) -> bool:
    """Whether an unready pod may be evicted: always, or (the default) when enough other pods are ready."""
    status = budget.status
    always = budget.spec.unhealthy_pod_eviction_policy == "AlwaysAllow"
    return always or status.current_healthy >= status.desired_healthy > 0


def ready(pod: Pod) -> bool:
    """Whether a pod is ready; as upstream, the first condition of that type decides."""
    for condition in pod.status.conditions:
        if condition.type == "Ready":
            return condition.status == "True"
    return False
