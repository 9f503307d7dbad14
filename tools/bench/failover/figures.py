"""What the kills came to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from tools.bench.common.tables import MISSED

TAKEOVER_S = 17.0
"""The Lease's time, 15 seconds, and 2 more."""
FILLED = 0.95


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill.

    Attributes:
        at_s: seconds after the Deployment had been created.
        takeover_s: from the kill until another replica held the Lease.
        slots: how many pods were expected.
        filled: how many of them run, or will, where they were expected.
        doubled: pods of ours beyond the slots of their node.
        lost: pods of the Deployment that are missing, failed, or on no node although there was a slot.
    """

    at_s: float
    takeover_s: float
    slots: int
    filled: int
    doubled: int
    lost: int


def result(kills: Sequence[Kill]) -> dict[str, float]:
    """All kills together."""
    takeovers = [kill.takeover_s for kill in kills]
    return {
        "kills": len(kills),
        "median_s": round(median(takeovers), 2),
        "worst_s": round(max(takeovers), 2),
        "filled": round(sum(kill.filled for kill in kills) / sum(kill.slots for kill in kills), 4),
        "lost": sum(kill.lost for kill in kills),
        "doubled": sum(kill.doubled for kill in kills),
    }


def table(found: dict[str, float]) -> Iterator[tuple[str, str, str, str]]:
    """Figure, value, target, and whether that was missed."""
    for name, value, target, good in (
        ("takeover, median", f"{found['median_s']:.1f} s", "", True),
        ("takeover, worst", f"{found['worst_s']:.1f} s", f"≤ {TAKEOVER_S:g} s", found["worst_s"] <= TAKEOVER_S),
        ("slots filled", f"{found['filled']:.1%}", f"≥ {FILLED:.0%}", found["filled"] >= FILLED),
        ("pods lost", f"{found['lost']:g}", "0", not found["lost"]),
        ("pods doubled", f"{found['doubled']:g}", "0", not found["doubled"]),
    ):
        yield name, value, target, "" if good else MISSED
