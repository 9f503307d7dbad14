"""The process that fills the API server and makes events. It is separate, so that the readers' CPU is measured alone.

Commands: `fill NODES PODS`; `paced N RATE`, N status patches through the API server; `burst N`, a new status for N pods
as fast as the API server sends them. Each answer is the duration in seconds.

A status patch of a pod with managedFields costs the API server some 4 ms of CPU: 30,000 pods and tens of thousands of
events would take longer than the measurement. So one pod per service is created through the API server. Copies of it
are written into etcd, and so are the events of a burst. A client that watches the API server sees no difference: every
put has a revision of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import ssl
import sys
import time
from pathlib import Path

import aiohttp
import msgspec
import uvloop

from tools.bench.common import store, world
from tools.bench.common.store import IN_FLIGHT, Store, in_parallel
from tools.bench.watch.child import TOKEN_VARIABLE

_PODS = f"/api/v1/namespaces/{world.NAMESPACE}/pods"
_encode = msgspec.json.Encoder().encode


class Loader:
    """Writes of one benchmark.

    Args:
        session: authenticated, with the API server as base address.
        store: the API server's etcd.
    """

    def __init__(self, session: aiohttp.ClientSession, store: Store) -> None:
        self._session = session
        self._store = store
        self._nodes = self._pods = 0
        self._templates: list[world.Json] = []
        self._turn = 0
        self._next = 0

    async def fill(self, nodes: int, pods: int) -> None:
        """Create the namespace, nodes, and pods with their first status."""
        self._nodes, self._pods = nodes, pods
        await self._write("POST", "/api/v1/namespaces", {"metadata": {"name": world.NAMESPACE}})
        await self._await_service_account()
        await in_parallel(range(nodes), lambda index: self._write("POST", "/api/v1/nodes", world.node(index)))
        first = range(min(world.CONTROLLERS, pods))
        await in_parallel(first, self._create_pod)
        self._templates = [await self._read(f"{_PODS}/{world.pod_name(index)}") for index in first]
        await in_parallel(range(len(first), pods), lambda index: self._put_pod(index, 0))

    async def burst(self, events: int) -> None:
        """Give pod after pod a new status, as fast as possible."""
        await in_parallel(range(events), lambda _: self._put_pod(*self._take_next()))

    async def paced(self, events: int, rate: float) -> None:
        """Patch the status of pod after pod, at a rate per second."""
        start = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for number in range(events):
                await asyncio.sleep(start + number / rate - time.monotonic())
                tasks.create_task(self._patch(*self._take_next()))

    async def _await_service_account(self) -> None:
        path = f"/api/v1/namespaces/{world.NAMESPACE}/serviceaccounts/default"
        for _ in range(300):
            async with self._session.get(path) as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.1)
        raise SystemExit("the namespace got no service account within 30 s")

    async def _create_pod(self, index: int) -> None:
        await self._write("POST", _PODS, world.pod(index, self._nodes))
        await self._patch(index, 0)

    async def _put_pod(self, index: int, turn: int) -> None:
        pod = world.stored_pod(index, turn, self._nodes, self._templates[index % world.CONTROLLERS])
        await self._store.put(f"pods/{world.NAMESPACE}/{world.pod_name(index)}", _encode(pod))

    def _take_next(self) -> tuple[int, int]:
        """The next pod, and the number of its turn."""
        if self._next % self._pods == 0:
            self._turn += 1
        index, self._next = self._next % self._pods, self._next + 1
        return index, self._turn

    async def _read(self, path: str) -> world.Json:
        async with self._session.get(path) as answer:
            found: world.Json = await answer.json()
            return found

    async def _patch(self, index: int, turn: int) -> None:
        path = f"{_PODS}/{world.pod_name(index)}/status"
        await self._write("PATCH", path, world.pod_status(index, turn), "application/merge-patch+json")

    async def _write(self, method: str, path: str, body: world.Json, content_type: str = "application/json") -> None:
        headers = {"Content-Type": content_type}
        async with self._session.request(method, path, data=_encode(body), headers=headers) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise SystemExit(f"{method} {path}: {answer.status} {text[:300]}")


async def serve(server: str, etcd: str, pki: Path) -> None:
    """Run commands until standard input ends."""
    tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    headers = {"Authorization": f"Bearer {os.environ[TOKEN_VARIABLE]}"}
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT, ssl=tls)
    async with (
        aiohttp.ClientSession(server, connector=connector, headers=headers) as session,
        store.connect(etcd, pki) as opened,
    ):
        await _obey(Loader(session, opened))


async def _obey(loader: Loader) -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        began = time.monotonic()
        match line.decode().split():
            case ["fill", nodes, pods]:
                await loader.fill(int(nodes), int(pods))
            case ["burst", events]:
                await loader.burst(int(events))
            case ["paced", events, rate]:
                await loader.paced(int(events), float(rate))
            case _:
                raise SystemExit(f"unknown command {line!r}")
        print(json.dumps({"seconds": time.monotonic() - began}), flush=True)


def main() -> None:
    """Run the loader."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--etcd", required=True)
    parser.add_argument("--pki", type=Path, required=True, help="the cluster's folder of certificates")
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.server, arguments.etcd, arguments.pki))


if __name__ == "__main__":
    main()
