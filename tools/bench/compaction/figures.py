"""The results of the cases: which count, medians per size and profile, targets, and the growth of time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from tools.bench.common import tables

from .case import BOUNDED, MIXED, PLAIN, PLANTED, Case

EASY = 0.9
"""If first-fit-decreasing frees at least this part, the cluster does not count."""
RATIOS = {(PLANTED, PLAIN): 0.95, (PLANTED, MIXED): 0.90, (BOUNDED, PLAIN): 0.90, (BOUNDED, MIXED): 0.80}
SECONDS = {1000: 2.0, 5000: 15.0}
MEMORY = {1000: 150.0, 5000: 700.0}
GROWTH = 1.3
"""The largest power of the number of nodes with which seconds may grow."""
COLUMNS = ("nodes", "pods", "profile", "kind", "ratio", "ffd", "seconds", "MiB", "")


def counts(case: Case) -> bool:
    """Whether a cluster is hard enough to count."""
    return case.ffd_ratio < EASY


def missed(cases: Sequence[Case], sizes: Iterable[int], wanted: int) -> list[str]:
    """The missed targets, as sentences.

    Args:
        cases: the cases that count.
        sizes: the measured numbers of nodes.
        wanted: the number of cases for each size, profile and kind.
    """
    found = []
    for nodes in sizes:
        for profile in (PLAIN, MIXED):
            for kind in (PLANTED, BOUNDED):
                group = [case for case in cases if (case.nodes, case.profile, case.kind) == (nodes, profile, kind)]
                found += [f"{nodes} nodes, {profile}, {kind}: {why}" for why in _missed_by(group, wanted)]
    for profile in (PLAIN, MIXED):
        power = growth(cases, profile)
        if power is not None and power > GROWTH:
            found.append(f"{profile}: seconds grow with the power {power:.2f} of the nodes, {GROWTH} are allowed")
    return found


def growth(cases: Iterable[Case], profile: str) -> float | None:
    """The power of the number of nodes with which the seconds grow from 1,000 to 5,000. None if one is not measured."""
    cases = [case for case in cases if case.profile == profile]
    seconds = [[case.seconds for case in cases if case.nodes == nodes] for nodes in SECONDS]
    if not all(seconds):
        return None
    small, large = SECONDS
    return math.log(median(seconds[1]) / median(seconds[0])) / math.log(large / small)


def lines(cases: Sequence[Case], wanted: int) -> list[Sequence[str]]:
    """The table: medians, and for memory the maximum."""
    groups: dict[tuple[int, str, str], list[Case]] = {}
    for case in cases:
        groups.setdefault((case.nodes, case.profile, case.kind), []).append(case)
    return [_line(group, wanted) for group in groups.values()]


def _line(group: Sequence[Case], wanted: int) -> Sequence[str]:
    one = group[0]
    return (
        f"{one.nodes:,}",
        f"{_median(group, 'pods'):,.0f}",
        one.profile,
        one.kind,
        f"{_median(group, 'ratio'):.3f} (≥ {RATIOS[one.kind, one.profile]:.2f})",
        f"{_median(group, 'ffd_ratio'):.3f}",
        f"{_median(group, 'seconds'):.2f}{_at_most(SECONDS, one.nodes)}",
        f"{_memory(group):.0f}{_at_most(MEMORY, one.nodes)}",
        tables.MISSED if _missed_by(group, wanted) else "",
    )


def _missed_by(group: Sequence[Case], wanted: int) -> list[str]:
    found = [f"{len(group)} clusters count, {wanted} are wanted"] if len(group) < wanted else []
    if not group:
        return found
    one, ratio, seconds = group[0], _median(group, "ratio"), _median(group, "seconds")
    if ratio < (least := RATIOS[one.kind, one.profile]):
        found.append(f"{ratio:.3f} of what can be freed, wanted {least}")
    if seconds > (most := SECONDS.get(one.nodes, math.inf)):
        found.append(f"{seconds:.2f} s, at most {most:g} are allowed")
    if _memory(group) > (memory := MEMORY.get(one.nodes, math.inf)):
        found.append(f"{_memory(group):.0f} MiB, at most {memory:g} are allowed")
    return found


def _at_most(targets: Mapping[int, float], nodes: int) -> str:
    return f" (≤ {targets[nodes]:g})" if nodes in targets else ""


def _median(group: Sequence[Case], figure: str) -> float:
    return median(float(getattr(case, figure)) for case in group)


def _memory(group: Sequence[Case]) -> float:
    return max(case.rss_mib for case in group)
