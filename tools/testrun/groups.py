"""What runs in one process: a process has clusters of its own, and one that only waits costs a tenth of a core."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePath

_CLUSTERS = ("e2e", "faults", "kube", "pulumi", "terraform")


def group(path: PurePath) -> str:
    """The tests that run in one process, one after the other: a folder of those that need clusters, else a file.

    Args:
        path: of the file, below the folder of all tests.
    """
    return str(path.parent if needs_clusters(path) else path)


def shares(paths: Iterable[PurePath], minutes: Mapping[str, float]) -> dict[str, float]:
    """Minutes that each group is expected to take: all groups of a suite are taken to be alike.

    Args:
        paths: of the files, below the folder of all tests.
        minutes: by suite, what it took when it was last measured; one that nobody has measured counts as none.
    """
    suites = {group(path): path.parts[0] for path in paths}
    count = Counter(suites.values())
    return {name: minutes.get(suite, 0.0) / count[suite] for name, suite in suites.items()}


def needs_clusters(path: PurePath) -> bool:
    """Whether most of these tests wait for clusters.

    Args:
        path: of the file, below the folder of all tests.
    """
    return path.parts[0] in _CLUSTERS
