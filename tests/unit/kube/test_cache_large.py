"""Large lists: streamed as the initial events of a watch where the server can, and read in pages where it cannot."""

from __future__ import annotations

import pytest

from moorage.kube import watch as watch_module
from moorage.kube.resources import PODS
from moorage.kube.watch import LARGE_PAGE_SIZE, PAGE_SIZE, ListWatch, Selection
from tests.unit.kube.hostile import (
    Fault,
    HostileServer,
    eventually,
    following,
    hostile,
    line,
    refuse,
    reset,
    says,
    transport,
)

COUNT = 12


@pytest.fixture(autouse=True)
def _few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "LARGE", 5)


def filled(server: HostileServer) -> None:
    server.page_size = 4
    for n in range(COUNT):
        server.store.put(f"p{n:02}", node=f"n{n % 3}")


@pytest.mark.parametrize("binary", [False, True], ids=["json", "protobuf"])
async def test_a_large_list_is_one_stream(binary: bool) -> None:
    async with hostile() as server:
        server.protobuf = binary
        filled(server)
        async with following(server) as f:
            await f.watching()
            assert [len(server.asked(verb)) for verb in ("list", "stream", "watch")] == [1, 1, 1]
            assert server.asked("stream")[0].query["resourceVersionMatch"] == "NotOlderThan"
            assert server.asked("watch")[0].query["resourceVersion"] == str(server.store.version)
            told = len(f.recorder.changes)
            server.store.delete("p01")
            server.store.put("p02", node="elsewhere")
            server.store.put("new")
            server.store.compact()
            server.watches[0].reset()
            await f.again("stream")
            assert sorted(f.recorder.changes[told:]) == [
                ("ADDED", "ns/new"),
                ("DELETED", "ns/p01"),
                ("MODIFIED", "ns/p02"),
            ]


async def test_a_small_list_is_read_as_before() -> None:
    async with hostile() as server:
        server.page_size = 4
        for n in range(8):
            server.store.put(f"p{n}")
        async with following(server) as f:
            await f.watching()
            assert [len(server.asked(verb)) for verb in ("list", "stream")] == [2, 0]
            assert {each.query["limit"] for each in server.asked("list")} == {str(PAGE_SIZE)}


@pytest.mark.parametrize("code", [400, 403, 404, 422, 429, 500])
async def test_a_server_that_does_not_stream_is_asked_for_pages_and_not_asked_again(code: int) -> None:
    async with hostile() as server:
        filled(server)
        server.always("stream", refuse(code))
        async with following(server) as f:
            await f.watching()
            assert [len(server.asked(verb)) for verb in ("list", "stream")] == [3, 1]
            assert [each.query["limit"] for each in server.asked("list")] == [
                str(PAGE_SIZE),
                str(LARGE_PAGE_SIZE),
                str(LARGE_PAGE_SIZE),
            ]
            assert f.backoff.drawn == []
            server.store.compact()
            server.watches[0].reset()
            await f.again("list", 3)
            assert len(server.asked("stream")) == 1


POD = line("ADDED", {"metadata": {"name": "p00", "namespace": "ns", "uid": "uid-1", "resourceVersion": "101"}})
BROKEN: dict[str, Fault] = {
    "reset": says(POD, then="reset"),
    "reset at once": reset,
    "ended": says(POD),
    "ended at once": says(),
    "garbage": says(POD, b"garbage\n"),
    "an object is deleted": says(POD, POD.replace(b"ADDED", b"DELETED")),
    "another bookmark": says(POD, line("BOOKMARK", {"metadata": {"resourceVersion": "200"}})),
    "an error": says(POD, line("ERROR", {"kind": "Status", "code": 500, "message": "so"})),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
async def test_nothing_is_removed_by_a_stream_that_breaks_off_and_pages_follow(broken: Fault) -> None:
    async with hostile() as server:
        filled(server)
        async with following(server) as f:
            await f.watching()
            told = len(f.recorder.changes)
            server.fault("stream", broken)
            server.store.compact()
            server.watches[0].reset()
            await f.again("watch")
            assert f.recorder.changes[told:] == []
            assert len(server.asked("stream")) == 2


async def test_a_stream_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "LIST_TIMEOUT", 0.1)
    async with hostile() as server:
        filled(server)
        server.fault("stream", says(POD, then="hang"))
        async with following(server) as f:
            await f.watching()
            assert [len(server.asked(verb)) for verb in ("list", "stream")] == [4, 1]


async def test_leaving_a_stream_closes_its_connection() -> None:
    async with hostile() as server, transport(server) as t:
        filled(server)
        server.fault("stream", says(POD, then="hang"))
        pages = ListWatch(t, PODS, Selection()).pages()
        _, items = await anext(pages)
        assert [item.key for item in items] == ["ns/p00"]
        await pages.aclose()
        await eventually(lambda: server.busy == 0)
