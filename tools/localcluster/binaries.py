"""Where the programs of a cluster come from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tools.localcluster.errors import ClusterError
from tools.toolchain import ToolError, ensure


def binaries(names_or_groups: Iterable[str]) -> dict[str, Path]:
    """Programs by name, built first when they are missing.

    Raises:
        ClusterError: they cannot be had; the message says why.
    """
    try:
        return ensure(names_or_groups)
    except ToolError as error:
        raise ClusterError(str(error)) from error
