"""Finds and builds the programs of a cluster."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from tools.localcluster.errors import ClusterError
from tools.toolchain import ToolError, ensure

OLDEST = "oldest"
"""Group of the oldest Kubernetes that the charts accept, and the ending of its programs' names."""


def oldest() -> bool:
    """Whether Kubernetes' own programs are those of the oldest version: ``MOORAGE_KUBERNETES=oldest``."""
    return os.environ.get("MOORAGE_KUBERNETES") == OLDEST


def binaries(names_or_groups: Iterable[str]) -> dict[str, Path]:
    """Programs by name, built first when they are missing.

    With ``MOORAGE_KUBERNETES=oldest`` in the environment Kubernetes' own programs are those of the oldest version.

    Raises:
        ClusterError: they cannot be had; the message says why.
    """
    try:
        found = ensure(names_or_groups)
        if oldest():
            older = {name.removesuffix(f"-{OLDEST}"): path for name, path in ensure([OLDEST]).items()}
            found |= {name: path for name, path in older.items() if name in found}
        return found
    except ToolError as error:
        raise ClusterError(str(error)) from error
