"""The error of a benchmark."""

from __future__ import annotations


class BenchError(Exception):
    """The benchmark cannot run. The message names the cause and the place of its output."""
