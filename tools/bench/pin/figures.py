"""Computes the figures, the table and the verdict from the rounds. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median

from moorage.pinner.options import Options
from tools.bench.common.figures import Figures, medians
from tools.bench.common.tables import MISSED

CEILING, CEILING_32, SCHEDULER, MOORAGE = "ceiling", "ceiling_32", "kube_scheduler", "moorage"
IN_FLIGHT = Options().writes_in_flight
"""Requests that the ceiling has in flight: as many as Moorage."""
ORDER = (CEILING, MOORAGE, SCHEDULER, MOORAGE, CEILING)
"""A round runs forward and back, because a machine's speed drifts within minutes: neighbours are compared."""
_NAMES = {"peak_mib": "rss_mib"}
LARGE = 30_000
"""Number of pods in the cache for the figure `rss_mib_30k`."""


@dataclass(frozen=True)
class Target:
    """The smallest or largest value of a figure.

    Attributes:
        key: of the figure.
        title: title of the figure.
        least: smallest value, or None.
        most: largest value, or None.
    """

    key: str
    title: str
    least: float | None = None
    most: float | None = None

    def met(self, value: float) -> bool:
        """Whether the figure meets the target."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    @property
    def text(self) -> str:
        """The target as text."""
        return f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}"


TARGETS = (
    Target("ratio_ceiling", "Moorage / ceiling", least=0.85),
    Target("ratio_scheduler", "Moorage / kube-scheduler", least=3),
    Target("p99_ms", "p99 at a steady rate, ms", most=250),
    Target("lag_ms", "longest delay of the event loop, ms", most=50),
    Target("rss_mib", "peak RSS, MiB", most=120),
    Target("rss_mib_30k", "peak RSS with 30,000 pods, MiB", most=350),
    Target("cost_growth", "CPU per pin, largest / smallest cache", most=1.25),
)


def result(rounds: Mapping[str, Sequence[Figures]], grown: Mapping[int, Figures]) -> Figures:
    """The figures of build/bench/pin.json.

    Args:
        rounds: measurements of each contender, in their order.
        grown: measurements by number of running pods in the pinner's cache.

    Returns:
        Medians. A ratio is the median of the ratios of neighbours, so a slowdown of both
        has no effect.
    """
    middle = {name: medians(found) for name, found in rounds.items()}
    ours = middle[MOORAGE]
    figures = {f"{name}_per_s": found["per_s"] for name, found in middle.items()}
    figures |= {
        "ratio_ceiling": _ratio(rounds[MOORAGE], rounds[CEILING]),
        "ratio_scheduler": _ratio(rounds[MOORAGE], rounds[SCHEDULER]),
    }
    figures |= {key: value for key, value in ours.items() if key not in ("per_s", "peak_mib")}
    for name, found in middle.items():
        if name != MOORAGE:
            figures |= {f"{name}_{_NAMES.get(key, key)}": value for key, value in found.items() if key != "per_s"}
    figures["others_cores"] = max(found["others_cores"] for found in middle.values())
    for running, found in grown.items():
        figures[f"cpu_us_per_pin_{running}"] = round(found["cpu_us_per_pin"], 1)
        figures[f"rss_at_rest_mib_{running}"] = round(found["rss_mib"], 1)
        figures[f"lag_ms_{running}"] = round(found["lag_ms"], 1)
    if LARGE in grown:
        figures["rss_mib_30k"] = round(grown[LARGE]["peak_mib"], 1)
    if len(grown) > 1:
        smallest, largest = min(grown), max(grown)
        figures["cost_growth"] = round(grown[largest]["cpu_us_per_pin"] / grown[smallest]["cpu_us_per_pin"], 3)
    return figures


def _ratio(ours: Sequence[Figures], theirs: Sequence[Figures]) -> float:
    """The median of the ratios. Moorage's figures before and after the other contender count half each."""
    each = len(ours) // len(theirs)
    rates = [found["per_s"] for found in ours]
    beside = [mean(rates[first : first + each]) for first in range(0, len(rates), each)]
    return round(median(a / b["per_s"] for a, b in zip(beside, theirs, strict=True)), 3)


def missed(figures: Figures) -> list[str]:
    """The missed targets, as sentences, without targets whose figure was not measured."""
    return [
        f"{target.title}: {number(figures[target.key])} instead of {target.text}"
        for target in TARGETS
        if target.key in figures and not target.met(figures[target.key])
    ]


def table(figures: Figures) -> list[tuple[str, str, str, str]]:
    """The final table, one tuple per line: title, figure, target, whether it is met."""
    lines = [
        (f"ceiling (client-go, {IN_FLIGHT} in flight), pods/s", f"{CEILING}_per_s"),
        ("ceiling, 32 in flight, pods/s", f"{CEILING_32}_per_s"),
        ("kube-scheduler, pods/s", f"{SCHEDULER}_per_s"),
        ("Moorage, pods/s", f"{MOORAGE}_per_s"),
        ("Moorage / ceiling", "ratio_ceiling"),
        ("Moorage / kube-scheduler", "ratio_scheduler"),
        ("p50 at a steady rate, ms", "p50_ms"),
        ("p99 at a steady rate, ms", "p99_ms"),
        ("longest delay of the pinner's event loop, ms", "lag_ms"),
        ("writes per pod of kube-scheduler", f"{SCHEDULER}_writes_per_pod"),
        ("writes per pod of Moorage", "writes_per_pod"),
        ("CPU of the servers for the ceiling, s", f"{CEILING}_server_cpu_s"),
        ("CPU of the servers for kube-scheduler, s", f"{SCHEDULER}_server_cpu_s"),
        ("CPU of the servers for Moorage, s", "server_cpu_s"),
        ("CPU of the pinner per pod while pods are bound, µs", "burst_cpu_us_per_pin"),
        ("CPU of the planner per pod meanwhile, µs", "burst_planner_cpu_us_per_pin"),
        ("CPU of the pinner per pod at a steady rate, µs", "steady_cpu_us_per_pin"),
        ("CPU of the ceiling, s", f"{CEILING}_cpu_s"),
        ("CPU of kube-scheduler, s", f"{SCHEDULER}_cpu_s"),
        ("CPU of the pod pinner, s", "cpu_s"),
        ("peak RSS of the ceiling, MiB", f"{CEILING}_rss_mib"),
        ("peak RSS of kube-scheduler, MiB", f"{SCHEDULER}_rss_mib"),
        ("peak RSS of the pod pinner, MiB", "rss_mib"),
        ("the same with 30,000 pods, MiB", "rss_mib_30k"),
    ]
    grown = sorted(int(key.rpartition("_")[2]) for key in figures if key.startswith("cpu_us_per_pin_"))
    lines += [(f"CPU per pin with {running:,} pods, µs", f"cpu_us_per_pin_{running}") for running in grown]
    lines.append(("the same, largest / smallest", "cost_growth"))
    lines += [(f"longest delay of the event loop with {running:,} pods, ms", f"lag_ms_{running}") for running in grown]
    targets = {target.key: target for target in TARGETS}
    return [_line(title, figures[key], targets.get(key)) for title, key in lines if key in figures]


def _line(title: str, value: float, target: Target | None) -> tuple[str, str, str, str]:
    if target is None:
        return (title, number(value), "", "")
    return (title, number(value), target.text, "met" if target.met(value) else MISSED)


def number(value: float) -> str:
    """Format with about three digits."""
    if value >= 10:
        return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}".removesuffix(".0")
    return f"{value:.3g}"
