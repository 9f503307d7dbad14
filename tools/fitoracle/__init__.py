"""The scheduler's own verdicts, for comparison: a Go program (README.md) and its client in Python."""

from __future__ import annotations

from tools.fitoracle.client import Oracle, OracleError, program

__all__ = ["Oracle", "OracleError", "program"]
