"""The planner's server with real clients: authentication, the instructions they get, and that nothing is lost."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from moorage.controller import certificates
from moorage.objects import Taint
from moorage.ops import compat
from moorage.ops.parsing import Address
from moorage.ops.secret import Secret
from moorage.pinner.stream.client import RESET, InstructionStream
from moorage.pinner.stream.endpoint import PlannerEndpoint
from moorage.planner import outcomes
from moorage.planner.instruction_store import InstructionStore, instruction_id
from moorage.planner.server import PlannerServer, ServerError, ServerSettings
from moorage.planner.tlsfiles import authority_beside, pair_reader
from moorage.protocol import (
    Ack,
    BindWhen,
    CreatePlaceholder,
    Instruction,
    Outcome,
    PinPods,
    PodRef,
    Position,
    Promise,
    ReasonCode,
    Release,
    SnapshotEnd,
    rpc,
)
from moorage.protocol.rpc import grpc
from tests.unit.protocol.support import HANG, LOOPBACK, Pinner, applied, authority, eventually, promise, settings

CLUSTER = "cluster-1"


def _board(nodes: int = 3, clock: Any = None) -> InstructionStore:
    board = InstructionStore(clock) if clock is not None else InstructionStore()
    board.start("plan", timedelta(minutes=10))
    for number in range(nodes):
        board.issue(CreatePlaceholder(promise(f"node-{number}")))
    return board


@asynccontextmanager
async def _serving(board: InstructionStore, **changes: Any) -> AsyncIterator[PlannerServer]:
    values: dict[str, Any] = {"address": Address(LOOPBACK, 0), "heartbeat": 0.05, **changes}
    server = PlannerServer(board, ServerSettings(**values))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def _client(server: PlannerServer, **changes: Any) -> InstructionStream:
    return InstructionStream(settings(server.port, **changes))


def _outcomes(board: InstructionStore) -> dict[str, Outcome | None]:
    acks = {each.id: board.ack(CLUSTER, each) for each in board}
    return {key: ack.outcome if ack is not None else None for key, ack in acks.items()}


# --- the board ---


def test_ids_follow_from_what_an_instruction_says() -> None:
    taints = (Taint(key="a", effect="NoSchedule"),)
    first = instruction_id("plan", CreatePlaceholder(promise("n")))
    assert first == instruction_id("plan", CreatePlaceholder(promise("n")))
    pods = (PodRef("a", "b", "c"), PodRef("d", "e", "f"))
    different = {
        first,
        instruction_id("other", CreatePlaceholder(promise("n"))),
        instruction_id("plan", CreatePlaceholder(promise("m"))),
        instruction_id("plan", Release("n")),
        instruction_id("plan", PinPods("n", pods)),
        instruction_id("plan", PinPods("n", pods[:1])),
        instruction_id("plan", CreatePlaceholder(type(promise("n"))("n", {}, {}, taints))),
        instruction_id("plan", CreatePlaceholder(type(promise("n"))("n", {}, {}, (), taints))),
        instruction_id("plan", CreatePlaceholder(replace(promise("n"), bind_when=BindWhen.STARTUP_TAINTS_GONE))),
    }
    assert len(different) == 9
    known = instruction_id("plan", CreatePlaceholder(Promise("n", {"cpu": "1"})))
    assert known == "create-n-3f6f3ddf5132ea09e5a0", "another id would be another instruction after an update"
    assert all(len(each) <= 128 for each in different)
    assert len(instruction_id("plan", Release("n" * 253))) <= 128


def test_the_same_action_is_issued_once_in_an_epoch_and_again_in_the_next() -> None:
    board = _board(1)
    assert board.issue(CreatePlaceholder(promise("node-0"))) is None
    epoch = board.epoch
    board.start("plan", timedelta(minutes=10))
    assert board.epoch > epoch
    assert board.issue(CreatePlaceholder(promise("node-0"))) is not None


def test_the_first_final_answer_stays_and_answers_of_other_epochs_do_not_count() -> None:
    board = _board(1)
    (only,) = board
    heard: list[Outcome] = []
    board.on_ack(lambda _cluster, _instruction, ack: heard.append(ack.outcome))
    assert board.record(CLUSTER, Ack(only.id, Position(board.epoch - 1, 1), Outcome.FAILED)) is None
    assert board.record(CLUSTER, Ack("unknown", Position(board.epoch, 9), Outcome.FAILED)) is None
    for outcome in (Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.APPLIED, Outcome.FAILED, Outcome.ACCEPTED):
        assert board.record(CLUSTER, Ack(only.id, only.position, outcome)) is only
    assert heard == [Outcome.ACCEPTED, Outcome.APPLIED]
    assert board.unfinished(CLUSTER) == []
    assert board.unfinished("another cluster") == [only]


def test_an_answer_to_what_could_not_be_read_is_found_by_its_position() -> None:
    board = _board(2)
    board.record(CLUSTER, Ack("", Position(board.epoch, 2), Outcome.REJECTED, ReasonCode.MALFORMED))
    assert [each.position.sequence for each in board.unfinished(CLUSTER)] == [1]


def test_an_epoch_of_the_future_is_outrun_and_one_of_the_past_is_not() -> None:
    clock = iter(range(1000, 2000)).__next__
    board = _board(2, clock)
    assert not board.outrun(1001)
    assert board.outrun(5000)
    assert board.epoch == 5001
    assert [each.position for each in board] == [Position(5001, 1), Position(5001, 2)]
    board.start("plan", timedelta(minutes=1))
    assert board.epoch == 5002


def test_an_epoch_that_is_outrun_has_everything_answered_anew() -> None:
    """An instruction that was answered in the earlier epoch keeps its old position in its node's reports."""
    board = _board(2, iter(range(1000, 2000)).__next__)
    first = board.at(1)
    board.record(CLUSTER, Ack(first.id, first.position, Outcome.APPLIED))
    assert board.outrun(5000)
    assert board.unfinished(CLUSTER) == [board.at(1), board.at(2)]


# --- who gets in ---


@pytest.mark.parametrize(
    "metadata", [(), (("authorization", "Bearer wrong"),), (("x-api-key", ""),), (("authorization", "right "),)]
)
async def test_without_the_key_nobody_gets_in(metadata: tuple[tuple[str, str], ...]) -> None:
    async with (
        _serving(_board(), api_key=lambda: Secret("right")) as server,
        grpc.aio.insecure_channel(f"{LOOPBACK}:{server.port}") as channel,
    ):
        call: Any = channel.stream_stream(rpc.PATH)(metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("metadata", [("authorization", "Bearer right"), ("x-api-key", "right")])
async def test_the_key_opens_in_either_form(metadata: tuple[str, str]) -> None:
    from moorage.protocol import Hello, Welcome, codec

    async with (
        _serving(_board(), api_key=lambda: Secret("right")) as server,
        grpc.aio.insecure_channel(f"{LOOPBACK}:{server.port}") as channel,
    ):
        call: Any = channel.stream_stream(rpc.PATH)(metadata=(metadata,))
        await call.write(codec.encode_request(Hello(CLUSTER, "r", "v")))
        assert isinstance(codec.decode_response(await call.read()), Welcome)
        call.cancel()


@pytest.mark.parametrize("first", [b"\xff\xff", b"", b"\x12\x00", b"\x0a\x00"])
async def test_who_does_not_say_hello_is_told_so(first: bytes) -> None:
    async with (
        _serving(_board()) as server,
        grpc.aio.insecure_channel(f"{LOOPBACK}:{server.port}") as channel,
    ):
        call: Any = channel.stream_stream(rpc.PATH)()
        await call.write(first)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert caught.value.details()


async def test_tls_with_key_and_a_certificate_that_is_replaced_while_serving(tmp_path: Path) -> None:
    old, new = authority("old"), authority("new")
    certificate, private_key, ca = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem"

    def install(pair: Any) -> None:
        certificate.write_bytes(pair.certificate)
        private_key.write_bytes(pair.key)
        ca.write_bytes(pair.certificate)

    install(old)
    tls = {"pair": pair_reader(certificate, private_key), "api_key": lambda: Secret("right")}
    async with _serving(_board(1), **tls) as server:
        endpoint = PlannerEndpoint(address=Address(LOOPBACK, server.port), ca_file=ca, key=Secret("right"))
        for pair in (old, new):
            install(pair)
            async with Pinner(_client(server, endpoint=endpoint)) as pinner:
                await pinner.until(lambda p: len(p.received) >= 1)


async def test_an_address_that_is_taken_is_said_in_a_sentence() -> None:
    async with _serving(_board()) as server:
        with pytest.raises(ServerError, match=r"cannot listen on .*--listen"):
            await PlannerServer(_board(), ServerSettings(address=Address(LOOPBACK, server.port))).start()


def test_files_that_are_missing_or_do_not_belong_together(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, other = authority("one"), authority("other")
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    with pytest.raises(ValueError, match=r"tls\.crt: cannot be read: No such file"):
        pair_reader(certificate, key)
    certificate.write_bytes(one.certificate)
    key.write_bytes(other.key)
    with pytest.raises(ValueError, match=r"tls\.key: it is not the private key of"):
        pair_reader(certificate, key)
    key.write_bytes(one.key)
    read = pair_reader(certificate, key)
    certificate.write_bytes(other.certificate)  # the moment between the two writes of a rotation
    assert read() == read() == (one.certificate, one.key)
    assert caplog.text.count("using the last one") == 1
    key.write_bytes(other.key)
    assert read() == (other.certificate, other.key)
    ends = REGISTRY.get_sample_value("moorage_planner_certificate_expiry_timestamp_seconds")
    assert ends == certificates.expiry(other.certificate).timestamp()
    assert "PRIVATE" not in repr(read()) + caplog.text
    assert authority_beside(certificate) is None
    certificate.with_name("ca.crt").write_bytes(one.certificate)
    assert authority_beside(certificate) == one.certificate


# --- what is sent ---


async def test_a_snapshot_then_what_is_issued_later_and_answers_arrive() -> None:
    board = _board(3)
    async with _serving(board) as server, Pinner(_client(server)) as pinner:
        await pinner.until(lambda p: len(p.received) == 4)
        assert pinner.received[3] == SnapshotEnd(Position(board.epoch, 3), 3)
        board.issue(Release("node-9"))
        await eventually(lambda: set(_outcomes(board).values()) == {Outcome.APPLIED})
        await eventually(lambda: pinner.stream.unconfirmed == 0)
        assert list(server.pinners.values()) == [f"{CLUSTER}/pinner-1"]
        assert outcomes.counts(board).open == 0
    assert server.pinners == {}


async def test_who_comes_back_goes_on_where_it_stood_and_who_is_new_gets_what_is_unfinished() -> None:
    board = _board(3)
    async with _serving(board) as server:
        stream = _client(server)
        async with Pinner(stream, answer=lambda each: applied(each) if each.node != "node-1" else None) as pinner:
            await pinner.until(lambda p: len(p.received) == 4)
            await eventually(lambda: stream.unconfirmed == 0)
            position = stream.position
        board.issue(Release("node-9"))
        async with Pinner(InstructionStream(settings(server.port), position), answer=lambda _: None) as pinner:
            await pinner.until(lambda p: len(p.ids) == 1)
            assert [each.node for each in pinner.received if isinstance(each, Instruction)] == ["node-9"]
        async with Pinner(_client(server)) as pinner:
            await pinner.until(lambda p: any(isinstance(each, SnapshotEnd) for each in p.received))
            assert [each.node for each in pinner.received if isinstance(each, Instruction)] == ["node-1", "node-9"]


async def test_the_window_is_kept_and_every_kind_of_answer_opens_it() -> None:
    board = _board(10)
    async with _serving(board) as server:
        stream = _client(server, window=3)
        async with Pinner(stream, answer=lambda _: None) as pinner:
            for count in range(3, 11):
                await pinner.until(lambda p, wanted=count: len(p.ids) == wanted)  # type: ignore[misc]
                each = board.at(count - 2)
                stream.ack(Ack(each.id, each.position, Outcome.ACCEPTED))


async def test_another_plan_replaces_the_one_before_within_the_stream() -> None:
    board = _board(3)
    async with _serving(board) as server, Pinner(_client(server)) as pinner:
        await pinner.until(lambda p: len(p.received) == 4)
        board.start("second", timedelta(minutes=1))
        board.issue(Release("node-0"))
        await pinner.until(lambda p: len(p.received) >= 6)
        await eventually(lambda: outcomes.counts(board).applied == 1)
        assert pinner.stream.position.epoch == board.epoch


async def test_two_clusters_answer_for_themselves() -> None:
    board = _board(2)
    async with _serving(board) as server:
        refuse = lambda each: Ack(each.id, each.position, Outcome.REJECTED, ReasonCode.NODE_IS_REAL)  # noqa: E731
        async with Pinner(_client(server)), Pinner(_client(server, cluster_id="two"), answer=refuse):
            await eventually(lambda: outcomes.counts(board).open == 0 and len(board.clusters) == 2)
    assert (outcomes.counts(board).applied, outcomes.counts(board).rejected) == (2, 2)
    assert outcomes.troubles(board) == [
        f"create placeholder on node-{number} (two): NODE_IS_REAL: a real node has this name" for number in (0, 1)
    ]


async def test_an_older_planner_is_not_obeyed_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="moorage")
    older = _board(1)
    newer = Position(older.epoch + 1, 0)
    await asyncio.sleep(0.01)  # the newer one was started in the past
    async with _serving(older) as server, Pinner(InstructionStream(settings(server.port), newer)) as pinner:
        await eventually(lambda: sum(record.getMessage() == RESET for record in caplog.records) >= 2)
        assert pinner.received == []
    assert {vars(record)["cause"] for record in caplog.records if record.getMessage() == RESET} == {"stale"}
    assert "Start this planner again to have its plan carried out" in caplog.text or any(
        "Start this planner again" in str(vars(record).get("error")) for record in caplog.records
    )


async def test_a_planner_whose_clock_is_behind_is_obeyed_all_the_same() -> None:
    behind = _board(2, clock=iter(range(1000, 100000)).__next__)
    seen = Position(1_700_000_000_000, 5)
    async with _serving(behind) as server, Pinner(InstructionStream(settings(server.port), seen)) as pinner:
        await pinner.until(lambda p: len(p.ids) == 2)
        assert behind.epoch == seen.epoch + 1


# --- killed at any moment ---


class _Cluster:
    """Survives both: accepted intents, and completed work, as a cluster stores them."""

    def __init__(self, rng: random.Random) -> None:
        self.accepted: set[str] = set()
        self.done: dict[str, int] = {}
        self._rng = rng

    def answer(self, stream: InstructionStream, each: Instruction) -> asyncio.Task[None]:
        return asyncio.create_task(self._work(stream, each))

    async def _work(self, stream: InstructionStream, each: Instruction) -> None:
        """As the pinner does: store the intent, say so, do it, say so; idempotent, and in no particular order."""
        await asyncio.sleep(self._rng.random() * 0.01)
        self.accepted.add(each.id)
        stream.ack(Ack(each.id, each.position, Outcome.ACCEPTED))
        await asyncio.sleep(self._rng.random() * 0.02)
        self.done[each.id] = self.done.get(each.id, 0) + 1
        refused = each.node.endswith("3")
        outcome, reason = (Outcome.REJECTED, ReasonCode.DOES_NOT_FIT) if refused else (Outcome.APPLIED, ReasonCode.OK)
        stream.ack(Ack(each.id, each.position, outcome, reason))


class _KillablePinner:
    def __init__(self, cluster: _Cluster, port: int) -> None:
        self._cluster = cluster
        self._stream = InstructionStream(settings(port, window=5, connect_timeout=5.0))
        self._work: set[asyncio.Task[None]] = set()
        self._pinner = Pinner(self._stream, answer=self._take)

    def _take(self, each: Instruction) -> None:
        self._work.add(self._cluster.answer(self._stream, each))

    async def start(self) -> None:
        await self._pinner.__aenter__()

    async def kill(self) -> None:
        """Nothing it knew survives: neither its position nor acknowledgements on their way."""
        for task in self._work:
            task.cancel()
        await self._pinner.__aexit__()
        if self._work:
            await asyncio.wait(self._work)


def _plan_on(board: InstructionStore, nodes: int) -> None:
    board.start("plan", timedelta(minutes=10))
    for number in range(nodes):
        board.issue(CreatePlaceholder(promise(f"node-{number}")))
        board.issue(PinPods(f"node-{number}", (PodRef("shop", f"web-{number}", f"uid-{number}"),)))


@pytest.mark.parametrize("seed", range(6))
async def test_killing_either_side_at_random_moments_ends_in_the_same_answers(seed: int) -> None:
    rng = random.Random(seed)
    nodes = 20
    wanted = InstructionStore()
    _plan_on(wanted, nodes)
    cluster = _Cluster(rng)
    board = InstructionStore()
    _plan_on(board, nodes)
    server = PlannerServer(board, ServerSettings(address=Address(LOOPBACK, 0), heartbeat=0.05))
    await server.start()
    port = server.port
    pinner = _KillablePinner(cluster, port)
    await pinner.start()
    try:
        for _ in range(8):
            await asyncio.sleep(rng.random() * 0.08)
            if rng.random() < 0.5:
                await pinner.kill()
                pinner = _KillablePinner(cluster, port)
                await pinner.start()
            else:
                await server.stop(0)
                board = InstructionStore()
                _plan_on(board, nodes)
                server = PlannerServer(board, ServerSettings(address=Address(LOOPBACK, port), heartbeat=0.05))
                await server.start()
        async with asyncio.timeout(HANG):
            await eventually(lambda: bool(board.clusters) and outcomes.counts(board).open == 0)
    finally:
        await pinner.kill()
        await server.stop()
    expected = {each.id: Outcome.REJECTED if each.node.endswith("3") else Outcome.APPLIED for each in wanted}
    assert _outcomes(board) == expected
    assert set(cluster.done) == set(expected)


@pytest.mark.parametrize("seed", range(4))
async def test_connections_cut_at_random_moments_lose_nothing_and_repeat_nothing(seed: int) -> None:
    """Both live on, only the way between them breaks: then every instruction is passed on exactly once."""
    rng = random.Random(seed)
    board = InstructionStore()
    _plan_on(board, 30)
    async with _serving(board) as server, _cut_proxy(server.port, rng) as port:
        pinner = Pinner(InstructionStream(settings(port, window=7)))
        async with pinner:
            await pinner.until(lambda p: any(isinstance(each, SnapshotEnd) for each in p.received))
            for number in range(100):
                board.issue(Release(f"node-{number + 100}"))
                await asyncio.sleep(rng.random() * 0.004)
            await eventually(lambda: outcomes.counts(board).open == 0)
            later = [each.id for each in pinner.received if isinstance(each, Instruction) and "release" in each.id]
            assert len(later) == len(set(later)) == 100
    assert set(_outcomes(board).values()) == {Outcome.APPLIED}


@asynccontextmanager
async def _cut_proxy(target: int, rng: random.Random) -> AsyncIterator[int]:
    """A TCP proxy that cuts every connection after a random number of bytes."""
    tasks: set[asyncio.Task[Any]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int) -> None:
        try:
            while limit > 0 and (data := await reader.read(min(4096, limit))):
                writer.write(data)
                await writer.drain()
                limit -= len(data)
        except ConnectionError:
            pass

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        up_reader, up_writer = await asyncio.open_connection(LOOPBACK, target)
        limit = rng.randint(2000, 20000)
        pumps = {
            asyncio.create_task(pump(reader, up_writer, limit)),
            asyncio.create_task(pump(up_reader, writer, limit)),
        }
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in pumps:
                each.cancel()
            await asyncio.wait(pumps)
            for end in (writer, up_writer):
                compat.abort(end.transport)

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await compat.stop_accepting(server.sockets)
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
