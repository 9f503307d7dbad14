"""Creates pods, at full speed or at a steady rate."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec

from moorage.kube.http.transport import Transport
from moorage.pinner.names import COMPONENT_LABEL, COMPONENT_NAME
from tools.bench.common.pace import in_turns
from tools.bench.pin import scene
from tools.bench.pin.scene import NAMESPACE

APPS = 20
"""Deployments whose pods are created in turn."""
_PATH = f"/api/v1/namespaces/{NAMESPACE}/pods"
_PINNED = b'"nodeName":'
_encode = msgspec.json.Encoder().encode


@dataclass
class Steady:
    """Latencies at a steady rate, in seconds.

    Attributes:
        asked: of pods for which the webhook is called.
        others: of the other pods.
        not_pinned: how many of the first were not pinned.
    """

    asked: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    not_pinned: int = 0


class Load:
    """A client that creates pods.

    Args:
        transport: to the API server.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._asked = [_encode(_pod(index)) for index in range(APPS)]
        self._others = [_encode(_passed_over(_pod(index))) for index in range(APPS)]

    async def burst(self, count: int, in_flight: int) -> tuple[float, int]:
        """Create pods at full speed. Returns the rate per second, and how many pods have a node."""
        numbers, pinned = iter(range(count)), 0

        async def create() -> None:
            nonlocal pinned
            for number in numbers:
                answer = await self._create(self._asked[number % APPS])
                pinned += _PINNED in answer

        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(create())
        return count / (time.monotonic() - began), pinned

    async def steady(self, seconds: float, rate: float) -> Steady:
        """Create pods at a rate per second: pods for which the webhook is called and others take turns."""
        not_pinned = 0

        async def create(number: int, asked: bool) -> None:
            nonlocal not_pinned
            answer = await self._create((self._asked if asked else self._others)[number % APPS])
            not_pinned += asked and _PINNED not in answer

        asked, others = await in_turns(seconds, rate, create)
        return Steady(asked, others, not_pinned)

    async def all_pinned(self) -> bool:
        """Whether a pod of each Deployment would be pinned now (dry run: nothing is stored)."""
        answers = [await self._create(body, dry_run=True) for body in self._asked]
        return all(_PINNED in answer for answer in answers)

    async def _create(self, body: bytes, *, dry_run: bool = False) -> bytes:
        query = {"dryRun": "All"} if dry_run else None
        return await self._transport.request("POST", _PATH, query=query, body=body)


def deployment(index: int) -> str:
    """The name of a Deployment, from its ReplicaSet's name without the revision."""
    name: str = _pod(index)["metadata"]["ownerReferences"][0]["name"]
    return name.rpartition("-")[0]


def _pod(index: int) -> dict[str, Any]:
    """A pod as a ReplicaSet's controller creates it. The API server generates its name."""
    pod = scene.plain_pod(index)
    del pod["metadata"]["name"]
    return pod


def _passed_over(pod: dict[str, Any]) -> dict[str, Any]:
    """The same pod with the label of the pinner's own pods and another owner: else the leader binds it to a slot."""
    pod["metadata"]["labels"] = {**pod["metadata"]["labels"], COMPONENT_LABEL: COMPONENT_NAME}
    owner = pod["metadata"]["ownerReferences"][0]
    pod["metadata"]["ownerReferences"] = [owner | {"name": f"other-{owner['name']}"}]
    return pod
