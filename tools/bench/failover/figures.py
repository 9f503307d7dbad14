"""The results of the kills."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from tools.bench.common.tables import MISSED
from tools.bench.pin.contenders import percentile

TAKEOVER_S = 17.0
"""The Lease's duration, 15 seconds, plus 2."""
FILLED = 0.95
HANDOVER_S = 2.0
GONE_MS = 50.0
"""The longest additional time for the creation of a pod while no replica runs, 99th percentile."""


@dataclass(frozen=True, slots=True)
class Kill:
    """A kill.

    Attributes:
        at_s: seconds after the creation of the Deployment.
        takeover_s: seconds from the kill until another replica held the Lease.
        slots: number of expected pods.
        filled: how many of them run, or will run, where they were expected.
        doubled: number of pinned pods beyond the slots of their node.
        lost: number of the Deployment's pods that are missing, failed, or without a node although there was a slot.
    """

    at_s: float
    takeover_s: float
    slots: int
    filled: int
    doubled: int
    lost: int


@dataclass(frozen=True, slots=True)
class Handover:
    """A leader that ended by SIGTERM.

    Attributes:
        lease_s: seconds until the other replica held the Lease.
        label_s: seconds until its pod also had the leader's label.
        served_s: seconds until it also pinned a pod while it was created.
        removed: number of placeholders, reservations and pinned pods that are gone after it.
        failed: number of failed webhook calls meanwhile.
    """

    lease_s: float
    label_s: float
    served_s: float
    removed: int
    failed: int


@dataclass(frozen=True, slots=True)
class Gone:
    """Seconds for the creation of pods while no replica ran and the webhook was still registered.

    Attributes:
        first: in the first 5 seconds.
        asked: after the first 5 seconds.
        without: of pods that the webhook's configuration excludes, in turns with the others.
    """

    first: Sequence[float]
    asked: Sequence[float]
    without: Sequence[float]


def result(kills: Sequence[Kill], handovers: Sequence[Handover], gone: Gone) -> dict[str, float]:
    """All results."""
    takeovers, served = [kill.takeover_s for kill in kills], [handover.served_s for handover in handovers]
    return {
        "kills": len(kills),
        "median_s": round(median(takeovers), 2),
        "worst_s": round(max(takeovers), 2),
        "filled": round(sum(kill.filled for kill in kills) / sum(kill.slots for kill in kills), 4),
        "lost": sum(kill.lost for kill in kills),
        "doubled": sum(kill.doubled for kill in kills),
        "handovers": len(handovers),
        "handover_median_s": round(median(served), 2),
        "handover_worst_s": round(max(served), 2),
        "handover_removed": sum(handover.removed for handover in handovers),
        "handover_failed_calls": sum(handover.failed for handover in handovers),
        "gone_first_p99_ms": _p99(gone.first),
        "gone_p99_ms": _p99(gone.asked),
        "without_p99_ms": _p99(gone.without),
    }


def _p99(seconds: Sequence[float]) -> float:
    return round(1000 * percentile(sorted(seconds), 99), 1)


def table(found: dict[str, float]) -> Iterator[tuple[str, str, str, str]]:
    """Figure, value, target, and whether it is missed."""
    first, above = (found[key] - found["without_p99_ms"] for key in ("gone_first_p99_ms", "gone_p99_ms"))
    for name, value, target, good in (
        ("takeover, median", f"{found['median_s']:.1f} s", "", True),
        ("takeover, worst", f"{found['worst_s']:.1f} s", f"≤ {TAKEOVER_S:g} s", found["worst_s"] <= TAKEOVER_S),
        ("slots filled", f"{found['filled']:.1%}", f"≥ {FILLED:.0%}", found["filled"] >= FILLED),
        ("pods lost", f"{found['lost']:g}", "0", not found["lost"]),
        ("pods doubled", f"{found['doubled']:g}", "0", not found["doubled"]),
        ("hand-over by SIGTERM, median", f"{found['handover_median_s']:.2f} s", "", True),
        (
            "hand-over by SIGTERM, worst",
            f"{found['handover_worst_s']:.2f} s",
            f"≤ {HANDOVER_S:g} s",
            found["handover_worst_s"] <= HANDOVER_S,
        ),
        ("removed by it", f"{found['handover_removed']:g}", "0", not found["handover_removed"]),
        ("calls that failed in it", f"{found['handover_failed_calls']:g}", "0", not found["handover_failed_calls"]),
        ("p99 of creations without a webhook", f"{found['without_p99_ms']:.1f} ms", "", True),
        ("p99 above that with all killed, first 5 s", f"{first:.1f} ms", "", True),
        ("p99 above that with all killed, later", f"{above:.1f} ms", f"≤ {GONE_MS:g} ms", above <= GONE_MS),
    ):
        yield name, value, target, "" if good else MISSED
