"""The planner's Secrets on a real API server: the first one fills them, and a later one does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from moorage.controller import certificates
from moorage.controller.certificates import State, Unusable
from moorage.kube import credentials, errors, resources
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.planner.secrets import API_KEY, SecretController
from tests.kube import identity, pinning
from tools.localcluster import ClusterHandle

TLS, CLIENT, NAMES = "moorage-planner-tls", "moorage-planner-client", ("moorage-planner.test.svc",)


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


@pytest.fixture
async def planner(client: Client, cluster: ClusterHandle, namespace: str) -> AsyncIterator[Client]:
    """The planner's own access: the chart's rights."""
    account = credentials.load(identity.planner(cluster, namespace=namespace, filled=[TLS, CLIENT]))
    async with Transport(account) as transport:
        transport.clock = client.transport.clock
        yield Client(transport)


async def empty(client: Client, namespace: str, **more: Any) -> None:
    """Both Secrets as the chart renders them."""
    for name in (TLS, CLIENT):
        await client.create(resources.SECRETS, {"metadata": {"name": name}, "type": "Opaque", **more}, namespace)


def keeper(planner: Client, namespace: str) -> SecretController:
    return SecretController(planner, namespace, tls_secret=TLS, client_secret=CLIENT, names=NAMES)


async def test_three_planners_at_once_agree_and_later_ones_change_nothing(
    client: Client, planner: Client, namespace: str
) -> None:
    await empty(client, namespace)
    several = [keeper(planner, namespace) for _ in range(3)]
    await asyncio.gather(*(each.ensure() for each in several))
    tls, published = [await client.get(resources.SECRETS, name, namespace) for name in (TLS, CLIENT)]
    assert certificates.judge(tls.data, NAMES, datetime.now(UTC)) is State.GOOD
    assert set(published.data) == {API_KEY, "ca.crt"}
    assert published.data["ca.crt"] == tls.data["ca.crt"]
    for each in (*several, keeper(planner, namespace)):
        await each.ensure()
        pair, key = each.pair(), each.api_key()
        assert pair is not None
        assert key is not None
        assert pair.certificate == tls.data["tls.crt"]
        assert key.reveal().encode() == published.data[API_KEY]
    again = [await client.get(resources.SECRETS, name, namespace) for name in (TLS, CLIENT)]
    assert [each.metadata.resource_version for each in again] == [
        each.metadata.resource_version for each in (tls, published)
    ]


async def test_a_missing_and_an_immutable_secret_are_sentences_without_data(
    client: Client, planner: Client, namespace: str
) -> None:
    with pytest.raises(Unusable, match=f"Secret {namespace}/{TLS} does not exist"):
        await keeper(planner, namespace).ensure()
    await empty(client, namespace, immutable=True)
    with pytest.raises(errors.Invalid, match="immutable") as caught:
        await keeper(planner, namespace).ensure()
    assert "BEGIN" not in str(caught.value)
    assert "LS0t" not in str(caught.value)  # how PEM begins in base64
