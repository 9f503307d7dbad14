"""How a benchmark fails."""

from __future__ import annotations


class BenchError(Exception):
    """The benchmark could not be run; the message names what failed and where its output is."""
