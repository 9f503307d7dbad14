"""A missing right is not believed of a server that may have just started."""

from __future__ import annotations

import logging

import pytest

from moorage.kube import errors
from moorage.kube.http import transport as http
from tests.unit.kube.hostile import Fault, following, hostile, refuse, status, transport

MISSING = 'pods is forbidden: User "system:serviceaccount:a:b" cannot list resource "pods" in API group ""'
DENIED = "ValidatingAdmissionPolicy 'fence' denied request"


def forbidden(message: str = MISSING) -> Fault:
    return refuse(403, status(403, "Forbidden", message))


@pytest.mark.parametrize(
    ("down", "message", "kind"),
    [
        (False, MISSING, errors.Forbidden),
        (True, MISSING, errors.Starting),
        (True, DENIED, errors.Forbidden),  # a policy has been read
    ],
)
async def test_a_request_that_is_refused_soon_after_the_server_was_down(
    down: bool, message: str, kind: type[errors.ApiError]
) -> None:
    async with hostile() as server, transport(server) as t:
        if down:
            await server.stop()
            with pytest.raises(errors.ConnectionLost):
                await t.request("GET", "/api/v1/pods")
            await server.start()
        server.fault("list", forbidden(message))
        with pytest.raises(errors.ApiError) as refused:
            await t.request("GET", "/api/v1/pods")
        assert type(refused.value) is kind


async def test_after_a_while_it_is_a_missing_right(monkeypatch: pytest.MonkeyPatch) -> None:
    async with hostile() as server, transport(server) as t:
        await server.stop()
        with pytest.raises(errors.ConnectionLost):
            await t.request("GET", "/api/v1/pods")
        await server.start()
        monkeypatch.setattr(http, "STARTING", 0.0)
        server.fault("list", forbidden())
        with pytest.raises(errors.Forbidden):
            await t.request("GET", "/api/v1/pods")


async def test_a_watch_that_a_restarted_server_refuses_resumes_and_nothing_is_reported_missing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with hostile() as server:
        server.store.put("a")
        async with following(server) as f:
            await f.watching()
            server.fault("list", forbidden(), forbidden())
            server.fault("watch", forbidden())
            server.watches[0].reset()
            await f.again("watch", 2)
            await f.watching()
            assert f.cache.refusal is None
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
