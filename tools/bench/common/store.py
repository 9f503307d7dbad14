"""Writes straight into the API server's etcd: thousands of objects in seconds.

Through the API server an object costs some milliseconds of CPU. A client that watches the API server sees no
difference, if the objects are such as the API server stores. Every put has a revision of its own.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from tools.bench.common.errors import BenchError
from tools.localcluster import ClusterHandle
from tools.localcluster.state import ClusterState

IN_FLIGHT = 48
PREFIX = "/registry/"
_encode = msgspec.json.Encoder().encode


class Store:
    """An etcd, through its JSON gateway. All keys are below the API server's prefix.

    Args:
        session: with credentials for etcd, and etcd as base address.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def put(self, key: str, value: bytes) -> None:
        """Put one value."""
        await self._ask("put", {"key": _base64((PREFIX + key).encode()), "value": _base64(value)})

    async def delete_all(self, prefix: str) -> int:
        """Delete every key with a prefix, in one revision. Returns their number."""
        first = (PREFIX + prefix).encode()
        end = first[:-1] + bytes([first[-1] + 1])
        answer = await self._ask("deleterange", {"key": _base64(first), "range_end": _base64(end)})
        return int(answer.get("deleted", 0))

    async def compact(self) -> None:
        """Compact all old revisions, and return once their space is free."""
        present = await self._ask("range", {"key": _base64(PREFIX.encode()), "count_only": True})
        await self._ask("compaction", {"revision": present["header"]["revision"], "physical": True})

    async def _ask(self, action: str, body: Mapping[str, Any]) -> dict[str, Any]:
        async with self._session.post(f"/v3/kv/{action}", data=_encode(body)) as answer:
            if answer.status != 200:
                raise BenchError(f"etcd {action}: {answer.status} {(await answer.text())[:300]}")
            found: dict[str, Any] = await answer.json(content_type=None)
            return found


@asynccontextmanager
async def connect(address: str, pki: Path) -> AsyncIterator[Store]:
    """The etcd of a local cluster.

    Args:
        address: its URL, see `address`.
        pki: the cluster's folder of certificates.
    """
    tls = ssl.create_default_context(cafile=str(pki / "etcd-ca.crt"))
    tls.load_cert_chain(pki / "etcd.crt", pki / "etcd.key")
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT, ssl=tls)
    async with aiohttp.ClientSession(address, connector=connector) as session:
        yield Store(session)


def address(cluster: ClusterHandle) -> str:
    """URL of a running cluster's etcd."""
    state = ClusterState.read(cluster.directory)
    assert state is not None, "a running cluster has a state file"
    return f"https://127.0.0.1:{state.components['etcd'].port}"


async def in_parallel(numbers: Iterable[int], work: Callable[[int], Awaitable[None]]) -> None:
    """Process numbers with a fixed number of requests in flight."""
    queue = iter(numbers)

    async def worker() -> None:
        for number in queue:
            await work(number)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(IN_FLIGHT):
            tasks.create_task(worker())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
