"""Replacements that are steered to nodes that run, by SlotReservations, on a real API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from moorage.kube import errors, resources
from moorage.kube.client import Client
from tests.kube import pinning
from tools.localcluster import ClusterHandle

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
SINCE, UNTIL = "2026-01-31T12:00:00Z", "2026-01-31T12:30:00Z"


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


def reservation(node: str, *slots: Json, **spec: Any) -> Json:
    """A SlotReservation as it is written."""
    told = {"nodeUID": "u", "by": "ns/test", "since": SINCE, "until": UNTIL, "slots": list(slots), **spec}
    return {"metadata": {"name": node}, "spec": told}


def slot(app: str, namespace: str, count: int = 1, *, cpu: str = "100m") -> Json:
    """Room for pods of a Deployment."""
    owner = {"kind": "Deployment", "namespace": namespace, "name": app}
    return {"owner": owner, "requests": {"cpu": cpu}, "count": count}


# --- what the API server takes ---

SLOT = slot("web", "ns")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"until": "2026-01-31T13:00:01Z"}, "within an hour after since"),
        ({"until": SINCE}, "within an hour after since"),
        ({"until": "soon"}, "spec.until"),
        ({"until": None}, "spec.until"),
        ({"since": None}, "spec.since"),
        ({"nodeUID": ""}, "spec.nodeUID"),
        ({"by": None}, "spec.by"),
        ({"slots": [{**SLOT, "count": -1}]}, "greater than or equal to 0"),
        ({"slots": [{**SLOT, "count": 1001}]}, "less than or equal to 1000"),
        ({"slots": [SLOT] * 257}, "at most 256"),
        ({"slots": [{**SLOT, "owner": {"kind": "Deployment", "name": "web"}}]}, "namespace"),
        ({"slots": [{**SLOT, "requests": {"cpu": [1]}}]}, "requests"),
    ],
)
async def test_the_definition_refuses_nonsense(client: Client, node_name: Any, change: Json, words: str) -> None:
    body = reservation(node_name(), SLOT, **change)
    body["spec"] = {key: value for key, value in body["spec"].items() if value is not None}
    with pytest.raises(errors.Invalid) as refused:
        await client.create(resources.SLOT_RESERVATIONS, body)
    assert words in str(refused.value)


async def test_what_the_definition_takes_comes_back(client: Client, node_name: Any) -> None:
    body = reservation(node_name(), SLOT, later=True)
    made = await client.create(resources.SLOT_RESERVATIONS, body)
    try:
        assert made.spec == {key: value for key, value in body["spec"].items() if key != "later"}
        assert made.metadata.generation == 1
    finally:
        await client.delete(resources.SLOT_RESERVATIONS, made.metadata.name, uid=made.metadata.uid)
