"""The figure of the documentation: one bar per contender and a dot per round, as SVG. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from statistics import median

from tools.bench.common.figures import Figures
from tools.bench.pin.figures import CEILING, CEILING_32, IN_FLIGHT, MOORAGE, SCHEDULER, number

_TITLES = {
    CEILING: f"ceiling, {IN_FLIGHT} in flight",
    CEILING_32: "ceiling, 32 in flight",
    SCHEDULER: "kube-scheduler",
    MOORAGE: "Moorage",
}
_WIDTH, _LEFT, _RIGHT = 720, 170, 70
_BAR, _STEP, _TOP = 22, 36, 64
_OURS, _THEIRS = "#0f766e", "#94a3b8"


def svg(rounds: Mapping[str, Sequence[Figures]], subtitle: str) -> str:
    """Draw pods bound per second.

    Args:
        rounds: of each contender; `per_s` of each round is drawn.
        subtitle: what was measured on, one line.
    """
    rates = {name: [found["per_s"] for found in each] for name, each in rounds.items()}
    most = max(max(each) for each in rates.values())
    height = _TOP + _STEP * len(rates) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        'aria-label="Pods bound per second" font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(16, 26, "Pods bound per second", size=16, weight=600),
        _text(16, 46, subtitle, fill="#475569"),
    ]
    for row, (name, each) in enumerate(rates.items()):
        parts += _bar(row, name, each, (_WIDTH - _LEFT - _RIGHT) / most)
    return "\n".join([*parts, "</svg>", ""])


def _bar(row: int, name: str, rates: Sequence[float], scale: float) -> list[str]:
    top = _TOP + row * _STEP
    middle = median(rates)
    fill = _OURS if name == MOORAGE else _THEIRS
    baseline = top + _BAR - 6
    end = _LEFT + max(max(rates), middle) * scale
    dots = [
        f'<circle cx="{_LEFT + rate * scale:.1f}" cy="{top + _BAR / 2:.1f}" r="3" fill="#ffffff" stroke="#0f172a"/>'
        for rate in rates
    ]
    return [
        _text(_LEFT - 10, baseline, _TITLES.get(name, name), anchor="end"),
        f'<rect x="{_LEFT}" y="{top}" width="{middle * scale:.1f}" height="{_BAR}" rx="3" fill="{fill}"/>',
        *dots,
        _text(end + 10, baseline, number(middle), weight=600),
    ]


def _text(
    x: float, y: float, content: str, *, size: int = 13, weight: int = 400, fill: str = "#0f172a", anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="{anchor}">{escape(content)}</text>'
    )
