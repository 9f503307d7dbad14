"""Fixtures of the charts' tests on a real API server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.charts.fenced import NODES, Fenced, at, fenced, standing
from tools.localcluster import ClusterHandle


@pytest.fixture(scope="session")
def it(cluster: ClusterHandle) -> Iterator[Fenced]:
    """The pinner's chart without its program, and Nodes of every kind."""
    with fenced(cluster) as found:
        for suffix, made in standing(found).items():
            found.admin.request("POST", NODES, {**made, "metadata": {**made["metadata"], "name": at(found, suffix)}})
        yield found
