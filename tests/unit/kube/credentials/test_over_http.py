"""Credentials as a server sees them."""

from __future__ import annotations

import json
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from moorage.kube.credentials import load
from moorage.kube.errors import Unauthorized
from moorage.kube.http.transport import Transport
from moorage.ops import compat
from tests.unit.kube.credentials.support import EXEC, Pki, Write, b64, script


@asynccontextmanager
async def api_server(pki: Pki, handler: Callable[[web.Request], Any]) -> AsyncIterator[int]:
    """An HTTPS server on loopback, named ``kubernetes``, that asks for client certificates."""

    async def respond(request: web.Request) -> web.Response:
        answer = handler(request)
        status = {"kind": "Status", "code": 401, "reason": "Unauthorized", "message": "Unauthorized"}
        return web.json_response(answer) if answer else web.json_response(status, status=401)

    certificate, key = pki.issue("kubernetes")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=pki.ca.decode())
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as an API server; Python's own choice since 3.13
    context.verify_mode = ssl.CERT_OPTIONAL
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate + key)
        file.flush()
        context.load_cert_chain(file.name)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", respond)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    listening = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listening, ssl_context=context).start()
    try:
        yield listening.getsockname()[1]
    finally:
        await compat.stop_accepting([listening])
        await runner.cleanup()


def peer(request: web.Request) -> str | None:
    assert request.transport is not None
    certificate = request.transport.get_extra_info("peercert")
    return certificate["subject"][0][0][1] if certificate else None


def lab(port: int, pki: Pki) -> dict[str, Any]:
    return {
        "server": f"https://127.0.0.1:{port}",
        "tls-server-name": "kubernetes",
        "certificate-authority-data": b64(pki.ca),
    }


async def test_plugin_token_that_the_server_refuses_is_renewed(write: Write, tmp_path: Path, pki: Pki) -> None:
    script(
        tmp_path / "plugin",
        """
        count = os.path.getsize(sys.argv[1]) if os.path.exists(sys.argv[1]) else 0
        open(sys.argv[1], "a").write("x")
        answer(token=f"token-{count}")
        """,
    )
    exec_config = {**EXEC, "command": "./plugin", "args": [str(tmp_path / "count")]}
    accepted = {"Bearer token-1"}

    def handler(request: web.Request) -> Any:
        return {"ok": True} if request.headers.get("Authorization") in accepted else None

    async with (
        api_server(pki, handler) as port,
        Transport(load(write({"exec": exec_config}, lab(port, pki)))) as transport,
    ):
        assert json.loads(await transport.request("GET", "/version")) == {"ok": True}
        accepted.clear()
        with pytest.raises(Unauthorized):
            await transport.request("GET", "/version")
        assert transport.clock.synchronised
    assert (tmp_path / "count").read_text() == "xx"


async def test_plugin_certificate_is_presented_and_replaced(write: Write, tmp_path: Path, pki: Pki) -> None:
    for name in ("first", "second"):
        certificate, key = pki.issue(name)
        pair = {"clientCertificateData": certificate.decode(), "clientKeyData": key.decode()}
        (tmp_path / f"{name}.json").write_text(json.dumps(pair))
    (tmp_path / "now.json").symlink_to("first.json")
    script(tmp_path / "plugin", f"answer(**json.load(open({str(tmp_path / 'now.json')!r})))")
    accepted = {"first"}

    def handler(request: web.Request) -> Any:
        return {"user": peer(request)} if peer(request) in accepted else None

    async with api_server(pki, handler) as port:
        access = load(write({"exec": {**EXEC, "command": "./plugin"}}, lab(port, pki)))
        async with Transport(access) as transport:
            assert json.loads(await transport.request("GET", "/version")) == {"user": "first"}
            accepted.symmetric_difference_update({"first", "second"})
            (tmp_path / "now.json").unlink()
            (tmp_path / "now.json").symlink_to("second.json")
            assert json.loads(await transport.request("GET", "/version")) == {"user": "second"}


async def test_client_certificate_of_a_kubeconfig_is_presented(write: Write, pki: Pki) -> None:
    certificate, key = pki.issue("me")
    user = {"client-certificate-data": b64(certificate), "client-key-data": b64(key)}
    async with (
        api_server(pki, lambda request: {"user": peer(request)}) as port,
        Transport(load(write(user, lab(port, pki)))) as transport,
    ):
        assert json.loads(await transport.request("GET", "/version")) == {"user": "me"}
