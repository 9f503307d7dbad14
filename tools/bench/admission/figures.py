"""Computes the figures, the table and the verdict from the measurements. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

from tools.bench.admission.load import Steady
from tools.bench.common.figures import Figures
from tools.bench.common.tables import MISSED
from tools.bench.pin.contenders import percentile
from tools.bench.pin.figures import Target, number

TARGETS = (
    Target("ratio_idle", "idle / none", least=0.95),
    Target("ratio_pinning_trivial", "pinning / trivial", least=0.95),
    Target("p99_ms", "p99 above pods without the webhook, ms", most=10),
    Target("lag_ms", "longest delay of the event loop, ms", most=50),
    Target("failed_calls", "failed calls", most=0),
    Target("not_pinned", "expected pods that were not pinned", most=0),
)
_LINES = (
    ("none, pods/s", "none_per_s"),
    ("ours idle, pods/s", "idle_per_s"),
    ("ours pinning every pod, pods/s", "pinning_per_s"),
    ("a trivial webhook, pods/s", "trivial_per_s"),
    ("idle / none", "ratio_idle"),
    ("pinning / none", "ratio_pinning"),
    ("trivial / none", "ratio_trivial"),
    ("pinning / trivial", "ratio_pinning_trivial"),
    ("p50 at a steady rate without the webhook, ms", "p50_without_ms"),
    ("p99 at a steady rate without the webhook, ms", "p99_without_ms"),
    ("p50 above that while pods are pinned, ms", "p50_ms"),
    ("p99 above that while pods are pinned, ms", "p99_ms"),
    ("longest delay of the pinner's event loop, ms", "lag_ms"),
    ("failed calls", "failed_calls"),
    ("expected pods that were not pinned", "not_pinned"),
)


def of_round(rates: Mapping[str, Sequence[float]], steady: Steady) -> Figures:
    """The figures of a round.

    Args:
        rates: pods a second of each contender, one for each measurement.
        steady: latencies.
    """
    each = {name: mean(found) for name, found in rates.items()}
    figures = {f"{name}_per_s": rate for name, rate in each.items()}
    figures |= {f"ratio_{name}": each[name] / each["none"] for name in ("idle", "pinning", "trivial")}
    figures["ratio_pinning_trivial"] = each["pinning"] / each["trivial"]
    for percent in (50, 99):
        without = 1000 * percentile(sorted(steady.others), percent)
        figures[f"p{percent}_without_ms"] = without
        figures[f"p{percent}_ms"] = 1000 * percentile(sorted(steady.asked), percent) - without
    return figures


def missed(figures: Figures) -> list[str]:
    """The missed targets, as sentences."""
    return [
        f"{target.title}: {number(figures[target.key])} instead of {target.text}"
        for target in TARGETS
        if not target.met(figures[target.key])
    ]


def table(figures: Figures) -> list[tuple[str, str, str, str]]:
    """The final table, one tuple per line: title, figure, target, whether it is met."""
    targets = {target.key: target for target in TARGETS}
    return [_line(title, figures[key], targets.get(key)) for title, key in _LINES]


def _line(title: str, value: float, target: Target | None) -> tuple[str, str, str, str]:
    if target is None:
        return (title, number(value), "", "")
    return (title, number(value), target.text, "met" if target.met(value) else MISSED)
