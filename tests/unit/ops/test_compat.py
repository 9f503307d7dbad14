"""Faults of asyncio in older Pythons, tested on the running Python."""

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from moorage.ops import compat

ROOT = Path(__file__).parents[3]


class Forgetful(asyncio.Transport):
    """A TLS transport of asyncio up to Python 3.11.2: closed twice it knows its connection no more."""

    def __init__(self) -> None:
        super().__init__()
        self.connection: list[str] | None = []
        self.aborted = 0
        self._closing = False

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if self._closing:
            self.connection = None
        self._closing = True

    def abort(self) -> None:
        self._closing = True
        self.connection.append("aborted")  # type: ignore[union-attr]
        self.aborted += 1


@pytest.mark.parametrize("before", ["", "a", "c", "ca", "ac", "cc", "cca", "acc", "ccac"])
def test_a_connection_can_be_aborted_whatever_was_done_to_it(before: str) -> None:
    transport = Forgetful()
    for step in before:
        transport.close() if step == "c" else compat.abort(transport)
    compat.abort(transport)
    assert transport.is_closing()
    if transport.connection is not None:
        assert transport.aborted == before.count("a") + 1


def test_what_is_no_connection_any_more_is_nothing_to_abort() -> None:
    compat.abort(None)


def test_a_fault_in_ending_an_open_connection_is_not_hidden() -> None:
    class Faulty(Forgetful):
        def abort(self) -> None:
            raise AttributeError("a fault of ours")

    with pytest.raises(AttributeError, match="a fault of ours"):
        compat.abort(Faulty())


def test_nobody_aborts_a_connection_in_another_way() -> None:
    call = ".abort" + "()"
    folders = ("runtime", "tools", "tests")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    found = [str(path.relative_to(ROOT)) for path in paths if call in path.read_text()]
    assert found == ["runtime/moorage/ops/compat.py"], "use moorage.ops.compat.abort"


@pytest.mark.parametrize("turns", range(8))
async def test_a_server_forgets_no_connection_whenever_it_is_closed(
    turns: int, recwarn: pytest.WarningsRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context["message"]))
    served: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: served.append(writer), "127.0.0.1", 0)
    clients = [socket.create_connection(server.sockets[0].getsockname()) for _ in range(3)]
    for _ in range(turns):
        await asyncio.sleep(0)
    await compat.stop_accepting(server.sockets)
    server.close()
    for each in served:
        compat.abort(each.transport)
    for _ in range(6):
        await asyncio.sleep(0)
    for client in clients:
        client.settimeout(10)
        with client, suppress(ConnectionResetError):
            assert client.recv(1) == b"", "ended, or never accepted"
    gc.collect()
    assert not failed
    assert [str(each.message) for each in recwarn if each.category is ResourceWarning] == []


def test_whoever_closes_a_server_accepts_nothing_more_before() -> None:
    begin = ("start" + "_server(", "web.Sock" + "Site(", "web.TCP" + "Site(")
    own = {
        "tests/unit/kube/http/test_connector.py",
        "tests/unit/pinner/stream/test_failures.py",
        "tests/unit/ops/test_compat.py",
    }
    paths = [path for folder in ("runtime", "tools", "tests") for path in (ROOT / folder).rglob("*.py")]
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in paths}
    serving = {name for name, text in texts.items() if any(each in text for each in begin)}
    assert {name for name in serving - own if "compat.stop_accepting" not in texts[name]} == set()


async def cancelled(began: asyncio.Future[str], seconds: float) -> None:
    try:
        await asyncio.sleep(600)
    finally:
        try:
            async with compat.timeout(seconds):
                began.set_result("began")
                await asyncio.sleep(600)
        except TimeoutError:
            raise RuntimeError("the time was up") from None


async def test_time_runs_out_in_a_clean_up_too() -> None:
    began: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(cancelled(began, 0.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(RuntimeError, match="the time was up"):
        await task


async def test_a_second_cancellation_is_one_whatever_the_time() -> None:
    began: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(cancelled(began, 600.0))
    await asyncio.sleep(0)
    task.cancel()
    assert await began == "began"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_time_that_does_not_run_out_changes_nothing() -> None:
    async with compat.timeout(600.0):
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with compat.timeout(0.0):
            await asyncio.sleep(600)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
