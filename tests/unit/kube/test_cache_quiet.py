"""An hour of a kind that nobody changes, in virtual time: silence is no failure, and what is dead is still found."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable

import pytest

from moorage.kube.cache import WatchCache
from moorage.kube.watch import WatchLimits
from moorage.objects import Node
from tests.unit.kube.quiet import Connection, QuietServer, bookmark, follow, later
from tests.unit.pinner.bed import virtual

HOUR = 3600.0
LIMITS = WatchLimits()
BOUND = LIMITS.seconds[1] + LIMITS.slack
"""Seconds after which a watch that looks alive to the kernel is given up."""

Behaviour = Callable[[QuietServer, Connection, float], None]


def ends(_server: QuietServer, connection: Connection, seconds: float) -> None:
    """The server has nothing to say, and ends the watch as it was asked to."""
    later(seconds, connection.send, b"0\r\n\r\n")


def marks(server: QuietServer, connection: Connection, seconds: float) -> None:
    """It sends a bookmark each minute."""
    for minute in range(1, int(seconds // 60) + 1):
        later(60.0 * minute, bookmark, server, connection)
    ends(server, connection, seconds)


def marks_once(server: QuietServer, connection: Connection, seconds: float) -> None:
    """One bookmark, and then a proxy keeps the connection to us but has lost the server."""
    later(60.0, bookmark, server, connection)


def hangs(_server: QuietServer, _connection: Connection, _seconds: float) -> None:
    """A proxy keeps the connection to us but has lost the server."""


def cut(after: float, error: Exception | None) -> Behaviour:
    """The network ends a connection that has been quiet for some seconds."""
    return lambda _server, connection, _seconds: later(after, connection.lose, error)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("behave", [ends, marks])
def test_an_hour_of_silence_is_an_hour_of_sight(behave: Behaviour, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="moorage")
    server = QuietServer(behave)

    def unnoticed(cache: WatchCache[Node]) -> None:
        assert cache.blind_for == 0
        assert cache.last_contact_age < LIMITS.seconds[1]

    @virtual
    async def hour() -> None:
        await follow(server, HOUR, unnoticed)
        assert server.blind == 0

    hour()
    assert warnings(caplog) == []
    assert [each.getMessage() for each in caplog.records if each.name == "moorage.kube.cache"] == ["cache synced"]
    assert server.lists == 1
    assert HOUR / LIMITS.seconds[1] <= server.watches <= HOUR / LIMITS.seconds[0] + 1
    assert server.versions <= server.watches - 1


@pytest.mark.parametrize("after", [5.0, 60.0, 239.0])
@pytest.mark.parametrize(
    "error", [None, ConnectionResetError(errno.ECONNRESET, "reset"), TimeoutError(errno.ETIMEDOUT, "")]
)
def test_a_network_that_cuts_quiet_connections_is_lived_with(
    after: float, error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server = QuietServer(cut(after, error))

    @virtual
    async def hour() -> None:
        await follow(server, HOUR)
        assert server.blind <= 0.2 * server.watches, "each time the shortest delay"

    hour()
    assert warnings(caplog) == []
    assert server.lists == 1
    assert [record.getMessage() for record in caplog.records].count("watch interrupted, trying again") == 1


EXPIRED = b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}\n'
FAILED = b'{"type":"ERROR","object":{"kind":"Status","code":500,"reason":"InternalError"}}\n'
PAGE = b"<html>504 Gateway Time-out</html>\n"


@pytest.mark.parametrize("line", [EXPIRED, FAILED, PAGE])
@pytest.mark.parametrize("after", [31.0, 60.0, 239.0])
def test_a_watch_that_lasted_and_ends_with_an_error_is_resumed_at_once(
    line: bytes, after: float, caplog: pytest.LogCaptureFixture
) -> None:
    server = QuietServer(
        lambda _server, connection, _seconds: later(after, connection.send, b"%x\r\n%s\r\n" % (len(line), line))
    )

    @virtual
    async def hour() -> None:
        await follow(server, HOUR)
        assert server.blind <= 0.2 * server.watches, "each time the shortest delay"

    hour()
    assert warnings(caplog) == []
    assert server.lists <= server.watches


@pytest.mark.parametrize("line", [EXPIRED, FAILED, PAGE])
@pytest.mark.parametrize("marked", [False, True])
def test_one_that_ends_with_an_error_soon_is_not_asked_for_again_and_again(line: bytes, marked: bool) -> None:
    def behave(server: QuietServer, connection: Connection, _seconds: float) -> None:
        if marked:
            later(1.5, bookmark, server, connection)
        later(2.0, connection.send, b"%x\r\n%s\r\n" % (len(line), line))

    server = QuietServer(behave)

    @virtual
    async def hour() -> None:
        await follow(server, HOUR)

    hour()
    assert server.watches < HOUR / 10, "the delays grow"


@pytest.mark.parametrize(("behave", "bound"), [(hangs, BOUND), (marks_once, 60.0 + LIMITS.silence)])
def test_what_only_looks_alive_is_found_within_a_bound(
    behave: Behaviour, bound: float, caplog: pytest.LogCaptureFixture
) -> None:
    server = QuietServer(behave)

    @virtual
    async def hour() -> None:
        await follow(server, HOUR)

    hour()
    assert server.watches >= HOUR / (bound + 1)
    assert server.lists == 1
    assert warnings(caplog) == []


def test_a_restored_server_is_found_by_one_small_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server = QuietServer(ends)

    def restored() -> None:
        server.version = 50

    def caught_up(cache: WatchCache[Node]) -> None:
        assert cache.resource_version == "50"

    @virtual
    async def hour() -> None:
        later(600.0, restored)
        await follow(server, HOUR, caught_up)

    hour()
    assert server.lists == 2
    assert "resource version went back, listing again" in [record.getMessage() for record in caplog.records]
    assert warnings(caplog) == []
