"""What runs in one process: a process has clusters of its own, and one that only waits costs a tenth of a core."""

from __future__ import annotations

from pathlib import PurePath

_CLUSTERS = ("e2e", "faults", "kube", "pulumi", "terraform")


def group(path: PurePath) -> str:
    """The tests that run in one process, one after the other: a folder of those that need clusters, else a file.

    Args:
        path: of the file, below the folder of all tests.
    """
    return str(path.parent if needs_clusters(path) else path)


def needs_clusters(path: PurePath) -> bool:
    """Whether most of these tests wait for clusters.

    Args:
        path: of the file, below the folder of all tests.
    """
    return path.parts[0] in _CLUSTERS
