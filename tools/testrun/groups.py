"""Groups of tests for one process: each process starts its own clusters, and an idle cluster uses a tenth of a core."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePath

_CLUSTERS = ("e2e", "faults", "kube", "pulumi", "terraform")


def group(path: PurePath) -> str:
    """The group of a test, which runs in one process: a folder for tests that need clusters, else a file.

    Args:
        path: of the file, below the folder of all tests.
    """
    return str(path.parent if needs_clusters(path) else path)


def shares(paths: Iterable[PurePath], minutes: Mapping[str, float]) -> dict[str, float]:
    """The expected minutes of each group. All groups of a suite count as equal.

    Args:
        paths: of the files, below the folder of all tests.
        minutes: by suite, the last measured time. A suite without one counts as 0.
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
