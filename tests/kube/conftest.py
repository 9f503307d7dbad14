"""Fixtures of tests on a real control plane."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from moorage.kube import credentials
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from tools.localcluster import ClusterError, ClusterHandle, LocalCluster


@pytest.fixture(scope="module")
def own_cluster(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    """A control plane that a module may break: it owns the components, so it can restart them."""
    failed_before = request.session.testsfailed
    own = LocalCluster()
    try:
        own.start()
    except ClusterError as error:
        pytest.fail(f"no local cluster: {error}", pytrace=False)
    try:
        yield own
    finally:
        kept = own.stop(keep_logs=request.session.testsfailed > failed_before)
        if kept is not None:
            print(f"logs of the module's own cluster are kept in {kept}")


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    """Administrator's access to the session's cluster."""
    async with Transport(credentials.load(cluster.kubeconfig)) as transport:
        yield Client(transport)
