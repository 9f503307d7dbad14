"""The picture of the documentation as SVG: a bar for each contender and a dot for each round."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from statistics import median
from typing import Any

from tools.bench.common.figures import Figures
from tools.bench.pin.figures import CEILING, MOORAGE, SCHEDULER

RECORDED = Path(__file__).resolve().parents[3] / "docs" / "images" / "bench-pin.json"
"""The source of the committed picture."""
TITLE = "Pods bound per second"
_SHOWN = {
    MOORAGE: ("Moorage", "binds pods where a plan says"),
    SCHEDULER: ("kube-scheduler", "chooses a node and binds, the same pods"),
    CEILING: ("API server's limit", "a Go program that only binds"),
}
"""The contenders in the picture, in this order: a title, and a description."""
_WIDTH, _LEFT, _RIGHT = 760, 300, 30
_BAR, _STEP, _TOP = 26, 48, 66
_INK, _QUIET = "#0f172a", "#475569"
_OURS, _THEIRS = "#0f766e", "#cbd5e1"


def recorded(rounds: Mapping[str, Sequence[Figures]], measured: str) -> str:
    """The source of the picture, as JSON.

    Args:
        rounds: measurements of each contender; ``per_s`` of each is kept.
        measured: the measured system, one line.
    """
    rates = {name: [round(found["per_s"], 1) for found in each] for name, each in rounds.items() if name in _SHOWN}
    return json.dumps({"measured": measured, "per_s": rates}, indent=2) + "\n"


def drawn(text: str) -> str:
    """The picture from the text of ``recorded``."""
    found: dict[str, Any] = json.loads(text)
    return svg(found["per_s"], found["measured"])


def svg(rates: Mapping[str, Sequence[float]], subtitle: str) -> str:
    """Draw pods bound per second.

    Args:
        rates: of each contender, one for each round.
        subtitle: the measured system, one line.
    """
    shown = [name for name in _SHOWN if rates.get(name)]
    most = max(max(rates[name]) for name in shown)
    height = _TOP + _STEP * len(shown) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f"<title>{TITLE}: {escape(_sentence(rates, shown))}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(16, 26, TITLE, size=16, weight=600),
        _text(16, 46, subtitle, fill=_QUIET),
    ]
    for row, name in enumerate(shown):
        parts += _row(_TOP + row * _STEP, name, rates[name], (_WIDTH - _LEFT - _RIGHT) / most)
    return "\n".join([*parts, *_legend(height - 16), "</svg>", ""])


def _sentence(rates: Mapping[str, Sequence[float]], shown: Sequence[str]) -> str:
    return ", ".join(f"{_SHOWN[name][0]} {median(rates[name]):,.0f}" for name in shown)


def _row(top: int, name: str, rates: Sequence[float], scale: float) -> list[str]:
    """A contender's title and description, a bar with its value, and below it a dot for each round."""
    title, about = _SHOWN[name]
    middle, ours = median(rates), name == MOORAGE
    return [
        _text(16, top + 13, title, weight=600),
        _text(16, top + 30, about, fill=_QUIET, size=12),
        f'<rect x="{_LEFT}" y="{top}" width="{middle * scale:.1f}" height="{_BAR}" rx="3" '
        f'fill="{_OURS if ours else _THEIRS}"/>',
        _text(_LEFT + 9, top + 18, f"{middle:,.0f}", size=15, weight=700, fill="#ffffff" if ours else _INK),
        *(_dot(_LEFT + rate * scale, top + _BAR + 7) for rate in rates),
    ]


def _legend(baseline: float) -> list[str]:
    return [
        f'<rect x="{_LEFT}" y="{baseline - 9}" width="18" height="9" rx="2" fill="{_OURS}"/>',
        _text(_LEFT + 24, baseline, "median of the rounds", fill=_QUIET, size=12),
        _dot(_LEFT + 172, baseline - 4),
        _text(_LEFT + 182, baseline, "one round", fill=_QUIET, size=12),
    ]


def _dot(x: float, y: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#ffffff" stroke="{_INK}"/>'


def _text(
    x: float, y: float, content: str, *, size: int = 13, weight: int = 400, fill: str = _INK, anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="{anchor}">{escape(content)}</text>'
    )
