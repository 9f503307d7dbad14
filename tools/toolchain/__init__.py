"""Kubernetes, etcd and friends, built from Go modules on first use into the user's cache.

Everything here but `manifest` needs the standard library only, because `bootstrap` runs before the Python
environment exists. That is why the two functions import late.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tools.toolchain.errors import ToolError

__all__ = ["ToolError", "ensure", "tool_path"]


def ensure(names_or_groups: Iterable[str]) -> dict[str, Path]:
    """Make sure that tools exist, building what is missing, and say where they are.

    Args:
        names_or_groups: tool names (`kubectl`) and group names (`demo`) of `tools/tools.yaml`.

    Returns:
        Absolute path of the executable by tool name.

    Raises:
        ToolError: an unknown name, or a tool that cannot be had; the text says why and what to do.
    """
    import tools.toolchain.provide as provide

    return provide.ensure(names_or_groups)


def tool_path(name: str) -> Path:
    """Say where one tool is, without building anything.

    Args:
        name: a tool of `tools/tools.yaml`.

    Returns:
        Absolute path of the executable: the cache's, else one of the right version on PATH.

    Raises:
        ToolError: an unknown name, or a tool that has not been built yet.
    """
    import tools.toolchain.provide as provide

    return provide.tool_path(name)
