"""The plan's JSON Schema, copied to where the package finds it."""

from __future__ import annotations

from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "schemas" / "plan" / "plan.schema.json"


def schema() -> str:
    """The schema as it stands in ``schemas/``."""
    return SOURCE.read_text(encoding="utf-8")
