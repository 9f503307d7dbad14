"""The small HTTP server with careless and hostile clients."""

from __future__ import annotations

import asyncio

import pytest

from moorage.ops import http
from moorage.ops.parsing import Address

LOOPBACK = Address("127.0.0.1", 0)
PAGES: http.Pages = {
    "/a": lambda query: http.Page(f"{sorted(query)}".encode()),
    "/b": lambda _query: http.Page(b"no", 503, "text/x"),
}


async def say(address: Address, *pieces: bytes) -> bytes:
    """All that is answered to some bytes."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    try:
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("request_", "status", "body"),
    [
        (b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "200 OK", b"[]"),
        (b"GET /a?y=1&x HTTP/1.0\r\n\r\n", "200 OK", b"['x', 'y']"),
        (b"HEAD /b HTTP/1.1\r\n\r\n", "503 Service Unavailable", b""),
        (b"GET /b HTTP/1.1\r\n\r\n", "503 Service Unavailable", b"no"),
        (b"POST /a HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "405 Method Not Allowed", b"only GET and HEAD\n"),
        (b"GET /c HTTP/1.1\r\n\r\n", "404 Not Found", b"no such page; there are /a, /b\n"),
        (b"HEAD /c HTTP/1.1\r\n\r\n", "404 Not Found", b""),
        (b"GET //[ HTTP/1.1\r\n\r\n", "404 Not Found", b"no such page; there are /a, /b\n"),
        (b"GET /../a HTTP/1.1\r\n\r\n", "404 Not Found", b"no such page; there are /a, /b\n"),
        (b"\x16\x03\x01\x00\r\n\r\n", "400 Bad Request", b"not a request\n"),
        (b"GET http://h/a HTTP/1.1\r\n\r\n", "400 Bad Request", b"not a request\n"),
        (b"GET /a HTTP/2\r\n\r\n", "400 Bad Request", b"not a request\n"),
    ],
)
async def test_each_request_has_its_answer(request_: bytes, status: str, body: bytes) -> None:
    async with http.serve(PAGES, LOOPBACK) as address:
        for pieces in ((request_,), tuple(bytes([each]) for each in request_)):
            head, _, found = (await say(address, *pieces)).partition(b"\r\n\r\n")
            assert head.decode().startswith(f"HTTP/1.1 {status}\r\n")
            assert "Connection: close" in head.decode()
            assert found == body
        assert (await say(address, b"HEAD /b HTTP/1.1\r\n\r\n")).count(b"Content-Length: 2\r\n") == 1


async def test_a_request_without_end_is_not_kept() -> None:
    async with http.serve(PAGES, LOOPBACK) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        answer = asyncio.create_task(reader.read())

        async def talk() -> None:
            while True:
                writer.write(b"x" * 4096)
                await writer.drain()
                await asyncio.sleep(0)

        with pytest.raises(ConnectionError):
            await talk()
        writer.close()
        await asyncio.gather(answer, return_exceptions=True)
        assert await say(address, b"GET /b HTTP/1.1\r\n\r\n")


async def test_who_does_not_get_to_the_point_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PATIENCE", 0.02)
    async with http.serve(PAGES, LOOPBACK) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"GET /a HTTP/1.1\r\n")
        with pytest.raises((ConnectionError, EOFError)):
            await reader.readexactly(1)
        writer.close()


async def test_the_end_waits_for_nobody() -> None:
    async with http.serve(PAGES, LOOPBACK) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"GET /a HTTP/1.1\r\n")
        await asyncio.sleep(0.01)
    with pytest.raises((ConnectionError, EOFError)):
        await reader.readexactly(1)
    writer.close()
    with pytest.raises(OSError, match=r"."):
        await asyncio.open_connection(address.host, address.port)
