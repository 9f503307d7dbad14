"""The stream client with silent, invalid and missing servers, and while it stops."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from moorage.pinner.stream.client import InstructionStream
from moorage.protocol import (
    Position,
    codec,
)
from tests.unit.pinner.stream.lines import causes, resets
from tests.unit.pinner.stream.sockets import tcp_server
from tests.unit.protocol.support import (
    HANG,
    LOOPBACK,
    Pinner,
    Visit,
    eventually,
    instruction,
    scripted,
    settings,
    snapshot_end,
    welcome,
)


async def test_a_server_that_hangs_after_connecting_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async def hang(visit: Visit) -> None:
        await visit.stay()

    async def hang_later(visit: Visit) -> None:
        await visit.say(welcome(), instruction(1), snapshot_end(1, 1))
        await visit.stay()

    async def good(visit: Visit) -> None:
        await visit.say(welcome(1, snapshot=False), instruction(2))
        await visit.stay()

    async with scripted(hang, hang_later, good) as server:
        stream = InstructionStream(settings(server.port, connect_timeout=0.2, silence=0.2))
        async with Pinner(stream) as pinner:
            await pinner.until(lambda p: "i-2" in p.ids)
            assert pinner.ids == ["i-1", "i-2"]
    assert causes(caplog) == {"silent"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", {"no-planner"}),
        (bytes(range(256)) * 20, {"no-planner"}),
        (b"", {"unreachable"}),
        (None, {"silent"}),
    ],
)
async def test_rubbish_and_silence_below_the_protocol(
    answer: bytes | None, expected: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    with tcp_server(answer) as port:
        stream = InstructionStream(settings(port, connect_timeout=0.5))
        async with Pinner(stream):
            await eventually(lambda: len(resets(caplog)) >= 2)
    assert causes(caplog) == expected


@pytest.mark.parametrize(
    "rubbish",
    [b"\xff\xff\xff", b"\x0a\x00", codec.encode_response(instruction(1))],
    ids=["no message", "empty welcome", "instruction before the welcome"],
)
async def test_rubbish_within_the_protocol(rubbish: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def bad(visit: Visit) -> None:
        await visit.say(rubbish)
        await visit.stay()

    async def good(visit: Visit) -> None:
        assert visit.hello.position == Position()
        await visit.say(welcome(), instruction(1), snapshot_end(1, 1))
        await visit.stay()

    async with scripted(bad, good) as server, Pinner(InstructionStream(settings(server.port))) as pinner:
        await pinner.until(lambda p: p.ids == ["i-1"])
    assert causes(caplog) == {"malformed"}


async def test_messages_of_a_kind_that_is_not_known_are_skipped() -> None:
    async def script(visit: Visit) -> None:
        await visit.say(welcome(), b"\xfa\x01\x01x", instruction(1), snapshot_end(1, 1))
        await visit.stay()

    async with scripted(script) as server, Pinner(InstructionStream(settings(server.port))) as pinner:
        await pinner.until(lambda p: len(p.received) == 2)
    assert len(server.hellos) == 1


async def test_an_unreachable_planner_becomes_a_warning_when_it_lasts(caplog: pytest.LogCaptureFixture) -> None:
    server = await asyncio.start_server(lambda _r, w: w.close(), LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    before = REGISTRY.get_sample_value("moorage_stream_resets_total", {"cause": "unreachable"}) or 0.0
    async with Pinner(InstructionStream(settings(port))):
        await eventually(lambda: len(resets(caplog)) >= 8)
    levels = [record.levelname for record in resets(caplog)]
    assert levels[:5] == ["INFO"] * 5
    assert levels.count("WARNING") == 1
    after = REGISTRY.get_sample_value("moorage_stream_resets_total", {"cause": "unreachable"})
    assert after == before + len(levels)


async def test_stopping_is_quick_in_every_state() -> None:
    async def silent(visit: Visit) -> None:
        await visit.stay()

    async def full(visit: Visit) -> None:
        await visit.say(welcome(), snapshot_end(0, 0), instruction(1), instruction(2))
        await visit.stay()

    async with scripted(silent) as server, Pinner(InstructionStream(settings(server.port))):
        await eventually(lambda: len(server.hellos) == 1)
    async with scripted(full) as server:
        stream = InstructionStream(settings(server.port, window=1))
        async with Pinner(stream, answer=lambda _: None) as pinner:
            await pinner.until(lambda p: p.ids == ["i-1"])
    assert not stream.connected
    async with asyncio.timeout(HANG):
        async with Pinner(InstructionStream(settings(1, backoff_base=3600.0, backoff_cap=3600.0))):
            await asyncio.sleep(0.05)


async def test_being_cancelled_is_never_lost_whatever_the_connection_does_at_that_moment() -> None:
    with tcp_server(b"") as port:
        for turn in range(60):
            async with asyncio.timeout(HANG), Pinner(InstructionStream(settings(port))):
                await asyncio.sleep(0.003 * (turn % 20))
