"""The installed version of this software."""

from __future__ import annotations

from functools import cache


@cache
def version() -> str:
    """Shown to people, and logged by the planner for each connected pinner."""
    from importlib import metadata  # importlib.metadata takes a moment to load

    return metadata.version("moorage")
