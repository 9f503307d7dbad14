"""The version of this software, as it is installed."""

from __future__ import annotations

from functools import cache
from importlib import metadata


@cache
def version() -> str:
    """For people, and for the planner's log of who is connected."""
    return metadata.version("moorage")
