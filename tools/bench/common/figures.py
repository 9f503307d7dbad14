"""Figures of several rounds."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

Figures = dict[str, float]


def medians(rounds: Sequence[Figures]) -> Figures:
    """The median of every figure over rounds with the same keys."""
    return {key: round(median(figures[key] for figures in rounds), 3) for key in rounds[0]}
