"""The version of this software, as it is installed."""

from __future__ import annotations

from functools import cache


@cache
def version() -> str:
    """For people, and for the planner's log of who is connected."""
    from importlib import metadata  # takes a moment to load

    return metadata.version("moorage")
