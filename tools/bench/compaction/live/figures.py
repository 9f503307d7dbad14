"""The results of the runs: medians per contender and profile, targets, and the table. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tools.bench.common import tables
from tools.bench.compaction.case import MIXED, PLAIN

from .contenders import DEFAULT, HARD, MOORAGE, MOST

PROMISED = {PLAIN: 0.95, MIXED: 0.85}
"""The smallest part of the bound that Moorage promises."""
KEPT = 0.95
"""The smallest part of its promise that it frees."""
CHURN = 1.1
"""The largest number of evictions for each pod that was on a freed node."""
WAIT = 5.0
"""The longest time that 99 of 100 evicted pods' replacements may be pending, in seconds."""
COLUMNS = (
    "contender",
    "profile",
    "freed",
    "of bound",
    "used",
    "evictions",
    "pods",
    "as simulated",
    "p99 wait",
    "PDB",
    "floor",
    "s",
)


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a contender on a cluster.

    Attributes:
        contender: its name.
        profile: ``plain`` or ``mixed``.
        nodes: number of nodes.
        pods: number of pods, except those of DaemonSets.
        freed: number of deleted nodes.
        freed_cost: their cost, minus the cost of bought nodes.
        promised_cost: the cost that the first report promised; only for Moorage.
        bound_cost: upper bound of the cost that can be freed.
        evictions: number of pods that the Eviction API deleted.
        pods_on_freed: number of pods on the freed nodes at the beginning.
        pending_p99_s: time for which a replacement had no node, 99th percentile.
        pdb_violations: how often a workload had fewer pods than its PodDisruptionBudget requires.
        floor_violations: how often a workload without a budget had fewer pods than its floor.
        seconds: time until the last freed node was deleted.
        utilisation: the requested part of the remaining nodes' CPU or memory, whichever is larger.
        as_simulated: number of replacements that came to their simulated node; only for Moorage.
        elsewhere: number of those that came to another node.
    """

    contender: str
    profile: str
    nodes: int
    pods: int
    freed: int
    freed_cost: float
    promised_cost: float | None
    bound_cost: float
    evictions: int
    pods_on_freed: int
    pending_p99_s: float
    pdb_violations: int
    floor_violations: int
    seconds: float
    utilisation: float = 0.0
    as_simulated: int | None = None
    elsewhere: int | None = None

    @property
    def share(self) -> float | None:
        """The part of the replacements that came to their simulated node. None if unknown."""
        known = (self.as_simulated or 0) + (self.elsewhere or 0)
        return (self.as_simulated or 0) / known if known else None


def medians(runs: Sequence[Run]) -> Run:
    """The medians of the runs of one contender and profile. Violations are added up."""
    one = runs[0]
    middle: dict[str, Any] = {
        name: round(median(getattr(run, name) for run in runs), 3)
        for name in (
            "freed",
            "freed_cost",
            "bound_cost",
            "evictions",
            "pods_on_freed",
            "pending_p99_s",
            "seconds",
            "utilisation",
        )
    }
    promises = [run.promised_cost for run in runs if run.promised_cost is not None]
    come = [(run.as_simulated, run.elsewhere) for run in runs if run.as_simulated is not None]
    return Run(
        one.contender,
        one.profile,
        one.nodes,
        one.pods,
        promised_cost=round(median(promises), 3) if promises else None,
        pdb_violations=sum(run.pdb_violations for run in runs),
        floor_violations=sum(run.floor_violations for run in runs),
        as_simulated=sum(one or 0 for one, _ in come) if come else None,
        elsewhere=sum(other or 0 for _, other in come) if come else None,
        **middle,
    )


def grouped(runs: Sequence[Run]) -> dict[str, dict[str, Run]]:
    """The medians by profile and contender."""
    groups: dict[str, dict[str, list[Run]]] = {}
    for run in runs:
        groups.setdefault(run.profile, {}).setdefault(run.contender, []).append(run)
    return {profile: {name: medians(group) for name, group in found.items()} for profile, found in groups.items()}


def lines(found: Mapping[str, Mapping[str, Run]]) -> Iterator[Sequence[str]]:
    """The table of all contenders."""
    for profile, contenders in found.items():
        for name, run in contenders.items():
            yield (
                name,
                profile,
                f"{run.freed:g} of {run.nodes}",
                f"{run.freed_cost / run.bound_cost:.3f}",
                f"{run.utilisation:.3f}",
                f"{run.evictions:,g}",
                f"{run.pods_on_freed:g}",
                "–" if run.share is None else f"{run.share:.3f}",
                f"{run.pending_p99_s:.1f} s",
                f"{run.pdb_violations}",
                f"{run.floor_violations}",
                f"{run.seconds:.0f}",
            )


def targets(found: Mapping[str, Mapping[str, Run]]) -> Iterator[tuple[str, str, str, str, str]]:
    """The targets of Moorage: profile, contender, figure, target, and MISSED if it is not met."""
    for profile, contenders in found.items():
        for name in (MOORAGE, HARD):
            if name in contenders:
                yield from ((profile, name, *each) for each in _targets(profile, contenders[name], contenders))


def _targets(profile: str, run: Run, contenders: Mapping[str, Run]) -> Iterator[tuple[str, str, str]]:
    """The targets of one of Moorage's contenders."""
    promised = run.promised_cost or 0.0
    others = [contenders[name] for name in (DEFAULT, MOST) if name in contenders]
    best = max((each.freed_cost for each in others), default=0.0)
    moved = run.evictions / run.pods_on_freed if run.pods_on_freed else 0.0
    for figure, target, met in (
        (
            f"promised {promised / run.bound_cost:.3f} of the bound",
            f"≥ {PROMISED[profile]}",
            _least(promised / run.bound_cost, PROMISED[profile]),
        ),
        (
            f"freed {run.freed_cost / promised if promised else 0:.3f} of what was promised",
            f"≥ {KEPT}",
            promised > 0 and _least(run.freed_cost / promised, KEPT),
        ),
        (f"freed {run.freed_cost:,.0f}", f"> {best:,.0f}, descheduler's best", run.freed_cost > best),
        (f"{moved:.2f} evictions for each pod on freed nodes", f"≤ {CHURN}", moved <= CHURN),
        (
            f"99 of 100 evicted pods had a node after {run.pending_p99_s:.1f} s",
            f"≤ {WAIT:g} s",
            run.pending_p99_s <= WAIT,
        ),
        (f"{run.pdb_violations} violations of PodDisruptionBudgets", "0", run.pdb_violations == 0),
        (f"{run.floor_violations} violations of floors", "0", run.floor_violations == 0),
    ):
        yield figure, target, "" if met else tables.MISSED


def _least(value: float, wanted: float) -> bool:
    """Whether a part reaches a target, with both rounded as in the output."""
    return round(value, 3) >= wanted


def sentence(run: Run) -> str:
    """The result of a run, as a progress line."""
    promised = "" if run.promised_cost is None else f" (promised {run.promised_cost:,.0f})"
    return (
        f"{run.freed} of {run.nodes} nodes freed, {run.freed_cost:,.0f} of at most {run.bound_cost:,.0f}{promised}; "
        f"{run.evictions:,} evictions, {run.pods_on_freed} pods were on those nodes; p99 without a node "
        f"{run.pending_p99_s:.1f} s; {run.pdb_violations} PDB and {run.floor_violations} floor violations; "
        f"{run.seconds:.0f} s{_come(run)}"
    )


def _come(run: Run) -> str:
    """Where replacements run, as a part of a sentence."""
    if run.share is None:
        return ""
    return f"; {run.as_simulated} replacements came where they were simulated, {run.elsewhere} elsewhere"
