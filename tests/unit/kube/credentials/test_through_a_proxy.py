"""Requests and watches through a real HTTP proxy."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import tempfile
from base64 import b64encode
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from moorage.kube import errors
from moorage.kube.credentials import load
from moorage.kube.http import transport as transport_module
from moorage.kube.http.connector import Endpoint
from moorage.kube.http.stream import StreamLimits
from moorage.kube.http.transport import Transport
from tests.unit.kube.credentials.proxying import USER, Socks, proxying, socks
from tests.unit.kube.credentials.support import Pki, Write
from tests.unit.kube.credentials.test_over_http import api_server, lab
from tests.unit.kube.hostile import hostile

LIMITS = StreamLimits(30.0)
WATCH = {"watch": "true", "resourceVersion": "100"}


def hello(request: web.Request) -> Any:
    return {
        "path": request.path_qs,
        "host": request.headers["Host"],
        "proxied": "Proxy-Authorization" in request.headers,
    }


async def test_requests_and_watches_are_tunnelled(write: Write, pki: Pki) -> None:
    async with api_server(pki, hello) as port, proxying() as proxy:
        cluster = lab(port, pki) | {"proxy-url": f"http://me:p%20ss@127.0.0.1:{proxy.port}"}
        async with Transport(load(write({}, cluster))) as transport:
            answer = {"path": "/version?a=b", "host": f"127.0.0.1:{port}", "proxied": False}
            for _ in range(3):
                assert json.loads(await transport.request("GET", "/version", query={"a": "b"})) == answer
            async with transport.stream("/version", query={"a": "b"}, limits=LIMITS) as found:
                assert json.loads(await found.body.read()) == answer
    assert len(proxy.asked) == 2, "one connection for requests, one for the watch"
    for each in proxy.asked:
        assert each.startswith(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n")
        assert f"Proxy-Authorization: {USER}\r\n" in each
        assert "Authorization: Bearer" not in each, "the proxy learns no token of the cluster"


@pytest.fixture
def proxy_tls(pki: Pki) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate, key = pki.issue("localhost")
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate + key)
        file.flush()
        context.load_cert_chain(file.name)
    return context


async def test_a_proxy_may_be_reached_by_tls_itself(write: Write, pki: Pki, proxy_tls: ssl.SSLContext) -> None:
    async with api_server(pki, hello) as port, proxying(tls=proxy_tls) as proxy:
        cluster = lab(port, pki) | {"proxy-url": f"https://localhost:{proxy.port}"}
        async with Transport(load(write({}, cluster))) as transport:
            assert json.loads(await transport.request("GET", "/version"))["path"] == "/version"
    assert proxy.asked[0].startswith("CONNECT ")


async def test_what_is_wrong_behind_such_a_proxy_is_said(write: Write, pki: Pki, proxy_tls: ssl.SSLContext) -> None:
    async with api_server(pki, hello) as port, proxying(tls=proxy_tls) as proxy:
        cluster = lab(port, pki) | {"proxy-url": f"https://localhost:{proxy.port}", "tls-server-name": "another"}
        async with Transport(load(write({}, cluster))) as transport:
            with pytest.raises(errors.Unreachable, match="certificate is not valid for 'another'"):
                await transport.request("GET", "/version")


@pytest.mark.parametrize("ends", ["request", "watch", "both"])
async def test_a_server_behind_such_a_proxy_may_hang_up_first(
    write: Write, pki: Pki, proxy_tls: ssl.SSLContext, ends: str
) -> None:
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(api_server(pki, hello))
        proxy = await stack.enter_async_context(proxying(tls=proxy_tls))
        cluster = lab(port, pki) | {"proxy-url": f"https://localhost:{proxy.port}"}
        transport = await stack.enter_async_context(Transport(load(write({}, cluster))))
        if ends in ("request", "both"):
            await transport.request("GET", "/version")
        if ends in ("watch", "both"):
            found = await stack.enter_async_context(transport.stream("/version", query={}, limits=LIMITS))
            assert await found.body.read()
        await proxy.stop()


async def test_plain_http_is_asked_of_the_proxy(write: Write) -> None:
    async with hostile() as server, proxying() as proxy:
        server.store.put("a")
        cluster = {"server": server.url, "proxy-url": f"http://me:p%20ss@127.0.0.1:{proxy.port}"}
        async with Transport(load(write({}, cluster))) as transport:
            assert await transport.request("GET", "/api/v1/namespaces/ns/pods/a")
    assert proxy.asked[0].startswith(f"GET {server.url}/api/v1/namespaces/ns/pods/a HTTP/1.1\r\n")
    assert f"Proxy-Authorization: {USER}\r\n" in proxy.asked[0]


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n", r"answered HTTP 407: give user and password"),
        (b"HTTP/1.1 502 Bad\r\nContent-Length: 100\r\n\r\nno", r"answered HTTP 502"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", r"not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: y", r"closed the connection"),
        (b"HTTP/1.1 200 OK\r\n\r\nthis is no TLS", r"no connection to 127.0.0.1:"),
    ],
)
async def test_a_proxy_that_does_not_connect_us_is_quoted(write: Write, pki: Pki, refusal: bytes, words: str) -> None:
    async with proxying(refusal) as proxy:
        cluster = lab(1, pki) | {"proxy-url": f"http://me:p@127.0.0.1:{proxy.port}"}
        async with Transport(load(write({}, cluster))) as transport:
            for _ in range(2):
                with pytest.raises(errors.Unreachable, match=words) as caught:
                    await transport.request("GET", "/version")
                assert "p@" not in str(caught.value)
            with pytest.raises(errors.Unreachable, match=words):
                async with transport.stream("/api/v1/pods", query=WATCH, limits=LIMITS):
                    pass


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\n\r\n"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_falls_silent_is_named(
    write: Write, pki: Pki, said: bytes, scheme: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(transport_module, "CONNECT_TIMEOUT", 0.05)
    async with proxying(said, hangs=True) as proxy:
        cluster = lab(1, pki) | {"proxy-url": f"{scheme}://me:p@127.0.0.1:{proxy.port}"}
        async with Transport(load(write({}, cluster))) as transport:
            words = rf"through proxy 127.0.0.1:{proxy.port} \(proxy-url of the kubeconfig\) within"
            with pytest.raises(errors.Unreachable, match=words) as caught:
                await transport.request("GET", "/version")
    assert "p@" not in str(caught.value)
    gc.collect()
    assert not caplog.records, "nor does asyncio log an exception that nobody has asked for"


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
async def test_a_proxy_that_is_not_there_is_named_with_its_source(
    write: Write, pki: Pki, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxying() as proxy:
        pass
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, f"http://me:s3cret@127.0.0.1:{proxy.port}")
    async with Transport(load(write({}, lab(1, pki) | {"server": "https://api.example.com"}))) as transport:
        with pytest.raises(errors.Unreachable) as caught:
            await transport.request("GET", "/version")
    assert str(caught.value) == (
        f"GET /version: no connection to api.example.com:443: proxy 127.0.0.1:{proxy.port} "
        f"(environment variable {variable}): Connection refused"
    )


@pytest.mark.parametrize("step", range(0, 30))
async def test_a_request_cancelled_at_any_moment_leaves_nothing_behind(write: Write, pki: Pki, step: int) -> None:
    async with api_server(pki, hello) as port, proxying() as proxy:
        cluster = lab(port, pki) | {"proxy-url": f"http://127.0.0.1:{proxy.port}"}
        async with Transport(load(write({}, cluster))) as transport:
            task = asyncio.create_task(transport.request("GET", "/version"))
            for _ in range(step):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert json.loads(await transport.request("GET", "/version"))


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@pytest.mark.parametrize("login", ["", "me:p%20ss@"])
async def test_a_socks_proxy_passes_on_requests_and_watches(write: Write, pki: Pki, scheme: str, login: str) -> None:
    async with api_server(pki, hello) as port, socks(Socks(login="me:p ss" if login else "")) as proxy:
        cluster = lab(port, pki) | {"proxy-url": f"{scheme}://{login}127.0.0.1:{proxy.port}"}
        cluster |= {"server": f"https://api.example.com:{port}"}
        async with Transport(load(write({}, cluster))) as transport:
            answer = {"path": "/version?a=b", "host": f"api.example.com:{port}", "proxied": False}
            for _ in range(3):
                assert json.loads(await transport.request("GET", "/version", query={"a": "b"})) == answer
            async with transport.stream("/version", query={"a": "b"}, limits=LIMITS) as found:
                assert json.loads(await found.body.read()) == answer
    assert proxy.asked == [f"api.example.com:{port}"] * 2, "the proxy resolves the name"


async def test_plain_http_through_a_socks_proxy(write: Write) -> None:
    async with hostile() as server, socks(Socks()) as proxy:
        server.store.put("a")
        cluster = {"server": server.url, "proxy-url": f"socks5://127.0.0.1:{proxy.port}"}
        async with Transport(load(write({}, cluster))) as transport:
            assert await transport.request("GET", "/api/v1/namespaces/ns/pods/a")


@pytest.mark.parametrize(
    ("refusing", "words"),
    [
        (Socks(login="me:other"), "Give user and password in the proxy's URL"),
        (Socks(reply=2), "Connection not allowed by ruleset$"),
        (Socks(reply=5), "Connection refused by destination host$"),
        (Socks(garbage=b"HTTP/1.1 400 Bad\r\n\r\n"), "SOCKS version"),
        (Socks(garbage=b""), "proxy 127.0.0.1:"),
        (Socks(bound=b"\x03\x01\xff\0\0"), "its answer is not valid SOCKS$"),
    ],
)
async def test_a_socks_proxy_that_does_not_connect_us_is_quoted(
    write: Write, pki: Pki, refusing: Socks, words: str
) -> None:
    async with socks(refusing) as proxy:
        cluster = lab(1, pki) | {"proxy-url": f"socks5://127.0.0.1:{proxy.port}"}
        async with Transport(load(write({}, cluster))) as transport:
            with pytest.raises(errors.Unreachable, match=words) as caught:
                await transport.request("GET", "/version")
            named = f"proxy 127.0.0.1:{proxy.port} (proxy-url of the kubeconfig): "
            assert f"no connection to 127.0.0.1:1: {named}" in str(caught.value)


@pytest.mark.parametrize("password", ["p" * 256, "%C3%A9", "%E9"])
async def test_a_login_that_cannot_be_sent_by_socks_is_said_to_be_the_reason(
    write: Write, pki: Pki, password: str
) -> None:
    async with socks(Socks(login="me:p")) as proxy:
        cluster = lab(1, pki) | {"proxy-url": f"socks5://me:{password}@127.0.0.1:{proxy.port}"}
        async with Transport(load(write({}, cluster))) as transport:
            with pytest.raises(errors.Unreachable, match=r"user and password may have 255 ASCII characters each$"):
                await transport.request("GET", "/version")


async def test_a_socks_proxy_that_is_not_there_is_named(write: Write, pki: Pki) -> None:
    async with socks(Socks()) as proxy:
        pass
    cluster = lab(1, pki) | {"proxy-url": f"socks5://127.0.0.1:{proxy.port}"}
    async with Transport(load(write({}, cluster))) as transport:
        with pytest.raises(errors.Unreachable, match=rf"proxy 127.0.0.1:{proxy.port} \(.*\): Connection refused"):
            await transport.request("GET", "/version")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://h", ("https", "h", 443, "h", "", "")),
        ("http://h:8080/a/b%2Fc/", ("http", "h", 8080, "h:8080", "/a/b%2Fc", "")),
        ("https://[fd00::1]:6443", ("https", "fd00::1", 6443, "[fd00::1]:6443", "", "")),
        ("https://[fe80::1%25eth0]:6443", ("https", "fe80::1%eth0", 6443, "[fe80::1]:6443", "", "")),
        ("https://[fe80::1%eth0]", ("https", "fe80::1%eth0", 443, "[fe80::1]", "", "")),
        ("https://H.Example.:1", ("https", "h.example", 1, "h.example:1", "", "")),
        ("https://b\u00fccher.example", ("https", "b\u00fccher.example", 443, "xn--bcher-kva.example", "", "")),
        ("http://me:p%20ss@h:1", ("http", "h", 1, "h:1", "", USER)),
        ("http://me:%E9@h:1", ("http", "h", 1, "h:1", "", f"Basic {b64encode(b'me:' + bytes([0xE9])).decode()}")),
    ],
)
def test_places(url: str, place: tuple[Any, ...]) -> None:
    assert Endpoint.of(url) == Endpoint(*place)
