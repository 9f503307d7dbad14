"""The scheduler's own verdicts, for comparison: a Go program (README.md) and its Python client."""

from __future__ import annotations

from tools.fitoracle.client import Oracle, OracleError, program

__all__ = ["Oracle", "OracleError", "program"]
