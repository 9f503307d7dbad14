"""Computes the figures, the table and the verdict from the rounds of both readers. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tools.bench.common.figures import Figures
from tools.bench.common.tables import MISSED


@dataclass(frozen=True)
class Row:
    """A line of the final table.

    Attributes:
        title: what was measured.
        key: of the figure in a reader's figures.
        most: the largest value for Moorage's reader, in the figure's unit, or None.
        ratio: the largest ratio of Moorage's reader to the informer, or None.
    """

    title: str
    key: str
    most: float | None = None
    ratio: float | None = None

    def met(self, ours: Figures, informer: Figures) -> bool | None:
        """Whether all targets of the line are met. None if it has none."""
        if self.most is None and self.ratio is None:
            return None
        value = ours[self.key]
        return (self.most is None or value <= self.most) and (
            self.ratio is None or value <= self.ratio * informer[self.key]
        )

    @property
    def target(self) -> str:
        """The targets as text."""
        words = [f"≤ {self.most:g}"] if self.most is not None else []
        words += [f"≤ {self.ratio:g} ×"] if self.ratio is not None else []
        return ", ".join(words)


ROWS = (
    Row("RSS at rest, MiB", "rss_mib", most=300, ratio=1),
    Row("RSS after events, MiB", "rss_after_events_mib", most=300, ratio=1),
    Row("RSS at its peak, MiB", "peak_rss_mib"),
    Row("RSS before requests, MiB", "import_rss_mib"),
    Row("start to synced, s", "sync_s"),
    Row("CPU until synced, s", "sync_cpu_s"),
    Row("replay: events/s", "events_per_s"),
    Row("replay: CPU µs/event", "cpu_us_per_event", most=60, ratio=3),
    Row("server flat out: events/s", "served_events_per_s"),
    Row("server flat out: CPU µs/event", "served_cpu_us_per_event", ratio=3),
    Row("server paced: CPU µs/event", "paced_cpu_us_per_event", ratio=3),
)


def result(results: Mapping[str, Figures]) -> Figures:
    """All figures by their names in build/bench/watch.json: Moorage's without a prefix, others with the reader's."""
    return {
        (key if reader == "ours" else f"{reader}_{key}"): value
        for reader, figures in results.items()
        for key, value in figures.items()
    }


def table(ours: Figures, informer: Figures) -> list[tuple[str, str, str, str, str, str]]:
    """The final table, one tuple per line: title, ours, informer, ratio, target, met."""
    lines = []
    for row in ROWS:
        mine, theirs = ours[row.key], informer[row.key]
        met = {True: "met", False: MISSED, None: ""}[row.met(ours, informer)]
        lines.append((row.title, _number(mine), _number(theirs), f"{mine / theirs:.2f}", row.target, met))
    return lines


def missed(ours: Figures, informer: Figures) -> list[str]:
    """Titles of the lines with missed targets."""
    return [row.title for row in ROWS if row.met(ours, informer) is False]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
