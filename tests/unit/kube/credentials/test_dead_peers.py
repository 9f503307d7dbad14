"""The kernel looks for a dead peer below TLS and towards every kind of proxy."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from moorage.kube.credentials import load
from moorage.kube.http import connector
from moorage.kube.http.sockets import find_dead_peers
from moorage.kube.http.stream import StreamLimits
from moorage.kube.http.transport import Transport
from tests.unit.kube.credentials.proxying import Socks, proxying, socks
from tests.unit.kube.credentials.support import Pki, Write
from tests.unit.kube.credentials.test_over_http import api_server, lab
from tests.unit.kube.credentials.test_through_a_proxy import hello


@asynccontextmanager
async def way(kind: str) -> AsyncIterator[dict[str, str]]:
    """A proxy, as a kubeconfig names it; nothing for a direct connection."""
    if kind == "http":
        async with proxying() as tunnel:
            yield {"proxy-url": f"http://127.0.0.1:{tunnel.port}"}
    elif kind == "socks5":
        async with socks(Socks()) as proxy:
            yield {"proxy-url": f"socks5://127.0.0.1:{proxy.port}"}
    else:
        yield {}


@pytest.mark.parametrize("kind", ["direct", "http", "socks5"])
async def test_every_connection_with_tls_has_the_options(
    kind: str, write: Write, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []

    def noted(sock: socket.socket) -> None:
        find_dead_peers(sock)
        found.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    monkeypatch.setattr(connector, "find_dead_peers", noted)
    async with (
        api_server(pki, hello) as port,
        way(kind) as proxy,
        Transport(load(write({}, lab(port, pki) | proxy))) as transport,
    ):
        await transport.request("GET", "/version")
        async with transport.stream("/version", query={}, limits=StreamLimits(30.0)) as stream:
            assert await stream.body.read()
    assert found == [1, 1], "one connection for requests, one for the watch"
