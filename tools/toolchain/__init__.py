"""Builds Kubernetes, etcd and other programs from Go modules on first use, into the user's cache.

Everything except `manifest` uses only the standard library, because `bootstrap` runs before the Python environment
exists. So the two functions import late.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tools.toolchain.errors import ToolError

__all__ = ["ToolError", "ensure", "tool_path"]


def ensure(names_or_groups: Iterable[str]) -> dict[str, Path]:
    """Make sure that tools exist: build the missing ones. Returns their paths.

    Args:
        names_or_groups: tool names (`kubectl`) and group names (`demo`) of `tools/tools.yaml`.

    Returns:
        Absolute path of the executable by tool name.

    Raises:
        ToolError: a name is unknown, or a tool is not available. The text has the reason and the way out.
    """
    import tools.toolchain.provide as provide

    return provide.ensure(names_or_groups)


def tool_path(name: str) -> Path:
    """The path of a tool. This does not build it.

    Args:
        name: a tool of `tools/tools.yaml`.

    Returns:
        Absolute path of the executable: in the cache, else one of the right version on PATH.

    Raises:
        ToolError: the name is unknown, or the tool has not been built yet.
    """
    import tools.toolchain.provide as provide

    return provide.tool_path(name)
