"""The watch cache over connections that die, or only look alive.

Whatever happens, in the end the cache equals the store, subscribers saw a lawful sequence of changes (checked by
``Following``), the server was not hammered, and no connection is left open (checked by ``hostile``).
"""

from __future__ import annotations

import asyncio

import pytest

from moorage.kube import watch as watch_module
from tests.unit.kube.hostile import (
    Exchange,
    HostileServer,
    eventually,
    following,
    hostile,
    line,
    never,
    reset,
    says,
)


def resumed(server: HostileServer) -> list[str]:
    """The resourceVersions of watch requests."""
    return [request.query["resourceVersion"] for request in server.asked("watch")]


# --- connections that die, or only look alive ---


async def test_a_half_open_watch_is_resumed_where_it_stood() -> None:
    async with hostile() as server:
        new = server.store.put("a")
        server.store.history.clear()
        server.store.objects.clear()

        async def one_event_then_silence(exchange: Exchange) -> None:
            server.store.objects["ns/a"] = new
            server.store.version = 101
            await says(line("ADDED", new), then="hang")(exchange)

        server.store.version = 100
        server.fault("watch", one_event_then_silence)
        async with following(server, dead_after=0.05) as f:
            await eventually(lambda: len(server.asked("watch")) >= 2)
            await f.caught_up()
            assert resumed(server)[:2] == ["100", "101"]
            assert len(server.asked("list")) == 1


async def test_a_watch_that_is_accepted_and_never_answered_is_given_up() -> None:
    async with hostile() as server:
        server.fault("watch", never)
        async with following(server, dead_after=0.05) as f:
            await eventually(lambda: len(server.asked("watch")) >= 2)
            await f.caught_up()
            assert resumed(server)[:2] == ["100", "100"]
            assert len(server.asked("list")) == 1


async def test_a_refusal_whose_body_never_ends_is_given_up() -> None:
    async def half(exchange: Exchange) -> None:
        await exchange.head(503, "Content-Length: 1000")
        await exchange.raw(b"{")
        await never(exchange)

    async with hostile() as server:
        server.fault("watch", half)
        async with following(server, dead_after=0.05) as f:
            await eventually(lambda: len(server.asked("watch")) >= 2)
            await f.caught_up()
            assert len(server.asked("list")) == 1


async def test_a_list_that_is_never_answered_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "LIST_TIMEOUT", 0.05)
    async with hostile() as server:
        server.store.put("a")
        server.fault("list", never)
        async with following(server) as f:
            await f.watching()
            assert len(server.asked("list")) == 2


async def test_resets_before_any_answer() -> None:
    async with hostile() as server:
        server.store.put("a")
        server.fault("list", reset, reset)
        server.fault("watch", reset)
        async with following(server) as f:
            await f.watching()
            assert f.recorder.of("ns/a") == ["ADDED"]


@pytest.mark.parametrize("how", ["cut", "reset", "end"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.999])
async def test_a_stream_cut_in_the_middle_of_an_event(how: str, share: float) -> None:
    async with hostile() as server, following(server) as f:
        await f.watching()
        event = line("ADDED", server.store.put("ä"))
        cut = event[: int(len(event) * share)]
        watch = server.watches[0]
        if cut:
            await watch.chunk(cut)
        if how == "end":
            await watch.end()
            server.watches.remove(watch)
        else:
            getattr(watch, how)()
        await f.again("watch", 0) if how == "end" else await f.again("watch")
        assert f.recorder.of("ns/ä") == ["ADDED"]
        assert len(server.asked("list")) == 1


async def test_a_stream_cut_in_the_middle_of_a_chunk() -> None:
    async with hostile() as server, following(server) as f:
        await f.watching()
        event = line("ADDED", server.store.put("a"))
        await server.watches[0].raw(b"%x\r\n%s" % (len(event) + 50, event))
        server.watches[0].cut()
        await f.again("watch")
        assert f.recorder.of("ns/a") == ["ADDED"]
        assert len(server.asked("list")) == 1


async def test_events_arrive_however_the_network_slices_them() -> None:
    async with hostile() as server, following(server) as f:
        await f.watching()
        stream = b"".join(line("ADDED", server.store.put(f"p{n}", note="é" * n)) for n in range(12))
        watch = server.watches[0]
        for size in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89):
            for _ in range(10):
                if stream:
                    await watch.chunk(stream[:size])
                    stream = stream[size:]
        if stream:
            await watch.chunk(stream)
        await f.caught_up()
        assert [name for _, name in f.recorder.changes] == [f"ns/p{n}" for n in range(12)]
        assert len(server.requests) == 2


# --- cancellation ---


@pytest.mark.parametrize("step", range(0, 40))
async def test_cancelled_at_any_moment_nothing_stays_open(step: int) -> None:
    async with hostile() as server:
        server.page_size = 1
        server.store.put("a")
        server.store.put("b")
        async with following(server) as f:
            for _ in range(step):
                await asyncio.sleep(0)
            f.task.cancel()
            await asyncio.gather(f.task, return_exceptions=True)
            assert f.task.cancelled()
            # The pool may keep idle connections, but nothing may still be asked on one.
            await eventually(lambda: server.busy == 0)


async def test_cancelled_while_a_watch_is_silent_or_half_a_line_has_come() -> None:
    for pieces in ((), (b'{"type":"ADD',)):
        async with hostile() as server:
            server.fault("watch", says(*pieces, then="hang"))
            async with following(server) as f:
                await eventually(lambda: server.asked("watch"))
                for _ in range(20):
                    await asyncio.sleep(0)
                f.task.cancel()
                await asyncio.gather(f.task, return_exceptions=True)
                await eventually(lambda: server.busy == 0)
