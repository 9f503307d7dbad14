"""Writes the demo's plan as ``moorage planner`` reads it (schemas/plan/plan.schema.json)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .scenario import Machine


def write(path: Path, machines: Sequence[Machine]) -> None:
    """Write the plan."""
    raise NotImplementedError
