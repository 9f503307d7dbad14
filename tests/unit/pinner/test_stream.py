"""The stream client against servers that do as they should, and against all others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from moorage.ops import logs
from moorage.ops.configuration import SettingsError
from moorage.ops.parsing import Address
from moorage.ops.secret import Secret
from moorage.pinner.stream import RESET, InstructionStream
from moorage.pinner.stream_channel import Cause, Endpoint
from moorage.protocol import (
    Ack,
    CreatePlaceholder,
    Heartbeat,
    Instruction,
    Outcome,
    PinPods,
    Position,
    Promise,
    ReasonCode,
    Release,
    SnapshotEnd,
    codec,
)
from moorage.protocol.rpc import grpc
from tests.unit.protocol.support import (
    EPOCH,
    HANG,
    LOOPBACK,
    Pinner,
    Visit,
    applied,
    authority,
    eventually,
    instruction,
    scripted,
    settings,
    snapshot_end,
    welcome,
)


def _resets(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.getMessage() == RESET]


def _causes(caplog: pytest.LogCaptureFixture) -> set[str]:
    return {vars(record)["cause"] for record in _resets(caplog)}


def _acks(action: str, outcome: str) -> float:
    return REGISTRY.get_sample_value("moorage_instructions_total", {"action": action, "outcome": outcome}) or 0.0


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="moorage")


async def test_a_snapshot_is_followed_acknowledged_and_resumed_where_it_stood() -> None:
    async def first(visit: Visit) -> None:
        await visit.say(welcome(), instruction(1), instruction(4), snapshot_end(5, 2), instruction(6))
        assert [(await visit.hear_ack()).instruction_id for _ in range(3)] == ["i-1", "i-4", "i-6"]
        await visit.say(Heartbeat(Position(EPOCH, 6), 3))

    heard: list[str] = []

    async def second(visit: Visit) -> None:
        assert visit.hello.position == Position(EPOCH, 6)
        await visit.say(welcome(6, snapshot=False), instruction(7))
        heard.append((await visit.hear_ack()).instruction_id)
        await visit.stay()

    async with scripted(first, second) as server, Pinner(InstructionStream(settings(server.port))) as pinner:
        await eventually(lambda: heard == ["i-7"])  # and none that was confirmed before
        assert pinner.ids == ["i-1", "i-4", "i-6", "i-7"]
        assert pinner.received[2] == SnapshotEnd(Position(EPOCH, 5), 2)
    assert server.hellos[0].position == Position()
    assert server.hellos[0].cluster_id == "cluster-1"


async def test_acknowledgements_that_were_not_confirmed_are_said_again() -> None:
    async def first(visit: Visit) -> None:
        await visit.say(welcome(), instruction(1), instruction(2), snapshot_end(2, 2))
        await visit.hear_ack()
        await visit.hear_ack()
        await visit.say(Heartbeat(Position(EPOCH, 2), 1))  # the second may be lost, for all the client knows
        await visit.say(instruction(3))
        await visit.hear_ack()

    heard: list[str] = []

    async def second(visit: Visit) -> None:
        await visit.say(welcome(3, snapshot=False))
        heard.extend([(await visit.hear_ack()).instruction_id for _ in range(2)])
        await visit.say(Heartbeat(Position(EPOCH, 3), 2))
        await visit.stay()

    async with scripted(first, second) as server, Pinner(InstructionStream(settings(server.port))) as pinner:
        await eventually(lambda: heard == ["i-2", "i-3"])
        await eventually(lambda: pinner.stream.unconfirmed == 0)


async def test_of_two_answers_to_an_instruction_only_the_last_is_repeated() -> None:
    answers = asyncio.Event()

    async def first(visit: Visit) -> None:
        await visit.say(welcome(), instruction(1), snapshot_end(1, 1))
        await answers.wait()

    heard: list[Outcome] = []

    async def second(visit: Visit) -> None:
        await visit.say(welcome(1, snapshot=False))
        heard.append((await visit.hear_ack()).outcome)
        await visit.stay()

    async with scripted(first, second) as server:
        stream = InstructionStream(settings(server.port))
        async with Pinner(stream, answer=lambda _: None) as pinner:
            await pinner.until(lambda p: len(p.received) == 2)
            for outcome in (Outcome.ACCEPTED, Outcome.APPLIED):
                stream.ack(Ack("i-1", Position(EPOCH, 1), outcome))
            answers.set()
            await eventually(lambda: heard == [Outcome.APPLIED])


async def test_a_broken_snapshot_is_asked_for_again_from_the_start() -> None:
    async def first(visit: Visit) -> None:
        await visit.say(welcome(), instruction(1), instruction(2))
        await visit.hear_ack()

    async def second(visit: Visit) -> None:
        assert visit.hello.position == Position()
        await visit.say(welcome(), instruction(2), snapshot_end(2, 1))
        await visit.stay()

    async with scripted(first, second) as server, Pinner(InstructionStream(settings(server.port))) as pinner:
        await pinner.until(lambda p: any(isinstance(each, SnapshotEnd) for each in p.received))
        assert set(pinner.ids) == {"i-1", "i-2"}
        assert pinner.stream.position == Position(EPOCH, 2)


async def test_a_snapshot_with_fewer_instructions_than_announced_is_no_snapshot(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def first(visit: Visit) -> None:
        await visit.say(welcome(), instruction(1), snapshot_end(2, 2))
        await visit.stay()

    async def second(visit: Visit) -> None:
        await visit.say(welcome(), instruction(1), instruction(2), snapshot_end(2, 2))
        await visit.stay()

    async with scripted(first, second) as server, Pinner(InstructionStream(settings(server.port))) as pinner:
        await pinner.until(lambda p: any(isinstance(each, SnapshotEnd) for each in p.received))
        assert set(pinner.ids) == {"i-1", "i-2"}
    assert "gap" in _causes(caplog)


async def test_repetitions_are_answered_again_and_not_carried_out_again() -> None:
    heard: list[str] = []

    async def script(visit: Visit) -> None:
        await visit.say(welcome(), instruction(1), snapshot_end(1, 1))
        heard.append((await visit.hear_ack()).instruction_id)
        await visit.say(instruction(1), instruction(1), instruction(2))
        heard.extend([(await visit.hear_ack()).instruction_id for _ in range(3)])
        await visit.stay()

    async with scripted(script) as server, Pinner(InstructionStream(settings(server.port))) as pinner:
        await eventually(lambda: len(heard) == 4)
        assert sorted(heard) == ["i-1", "i-1", "i-1", "i-2"]
        assert pinner.ids == ["i-1", "i-2"]


async def test_a_repetition_of_what_is_still_worked_on_is_left_alone() -> None:
    async def script(visit: Visit) -> None:
        await visit.say(welcome(), instruction(1), snapshot_end(1, 1), instruction(1), instruction(2))
        await visit.stay()

    async with (
        scripted(script) as server,
        Pinner(InstructionStream(settings(server.port)), answer=lambda _: None) as pinner,
    ):
        await pinner.until(lambda p: "i-2" in p.ids)
        assert pinner.ids == ["i-1", "i-2"]


async def test_instructions_out_of_order_make_the_stream_begin_again_where_it_stood(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def first(visit: Visit) -> None:
        await visit.say(welcome(), snapshot_end(0, 0), instruction(1), instruction(3), instruction(2))
        await visit.stay()

    async def second(visit: Visit) -> None:
        assert visit.hello.position == Position(EPOCH, 1)
        await visit.say(welcome(1, snapshot=False), instruction(2), instruction(3))
        await visit.stay()

    async with scripted(first, second) as server, Pinner(InstructionStream(settings(server.port))) as pinner:
        await pinner.until(lambda p: "i-3" in p.ids)
        assert pinner.ids == ["i-1", "i-2", "i-3"]
    assert _causes(caplog) == {"gap"}


async def test_a_heartbeat_tells_of_an_instruction_that_was_lost(caplog: pytest.LogCaptureFixture) -> None:
    async def first(visit: Visit) -> None:
        await visit.say(welcome(), snapshot_end(0, 0), instruction(1), Heartbeat(Position(EPOCH, 2)))
        await visit.stay()

    async def second(visit: Visit) -> None:
        await visit.say(welcome(1, snapshot=False), instruction(2))
        await visit.stay()

    async with scripted(first, second) as server, Pinner(InstructionStream(settings(server.port))) as pinner:
        await pinner.until(lambda p: p.ids == ["i-1", "i-2"])
    assert _causes(caplog) == {"gap"}


async def test_a_newer_epoch_replaces_everything_within_a_stream() -> None:
    heard: list[Ack] = []
    stale = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.say(welcome(), instruction(1), snapshot_end(1, 1))
        newer = EPOCH + 1
        await visit.say(welcome(epoch=newer), instruction(1, epoch=newer), snapshot_end(1, 1, epoch=newer))
        await stale.wait()
        heard.append(await visit.hear_ack())
        await visit.stay()

    async with scripted(script) as server:
        stream = InstructionStream(settings(server.port))
        async with Pinner(stream, answer=lambda _: None) as pinner:
            await pinner.until(lambda p: len(p.received) == 4)
            stream.ack(Ack("i-1", Position(EPOCH, 1), Outcome.FAILED))  # of the epoch before: too late
            stream.ack(Ack("i-1", Position(EPOCH + 1, 1), Outcome.APPLIED))
            stale.set()
            await eventually(lambda: len(heard) == 1)
            assert heard[0].outcome is Outcome.APPLIED
            assert stream.position == Position(EPOCH + 1, 1)


async def test_an_instruction_of_a_stale_epoch_is_refused_and_the_rest_goes_on() -> None:
    heard: list[Ack] = []

    async def script(visit: Visit) -> None:
        await visit.say(welcome(), snapshot_end(0, 0), instruction(1, epoch=EPOCH - 1, key="old"), instruction(1))
        heard.extend([await visit.hear_ack() for _ in range(2)])
        await visit.stay()

    async with scripted(script) as server, Pinner(InstructionStream(settings(server.port))) as pinner:
        await eventually(lambda: len(heard) == 2)
        assert pinner.ids == ["i-1"]
    refused = next(ack for ack in heard if ack.instruction_id == "old")
    assert (refused.outcome, refused.reason) == (Outcome.REJECTED, ReasonCode.STALE_EPOCH)
    assert str(EPOCH - 1) in refused.sentence


async def test_a_planner_of_a_stale_epoch_is_not_followed(caplog: pytest.LogCaptureFixture) -> None:
    async def stale(visit: Visit) -> None:
        await visit.say(welcome(epoch=EPOCH - 1), instruction(1, epoch=EPOCH - 1, key="old"))
        await visit.stay()

    async def first(visit: Visit) -> None:
        await visit.say(welcome(), instruction(1), snapshot_end(1, 1))
        await visit.hear_ack()

    async def last(visit: Visit) -> None:
        await visit.say(welcome(1, snapshot=False), instruction(2))
        await visit.stay()

    scripts = (first, stale, stale, last)
    async with scripted(*scripts) as server, Pinner(InstructionStream(settings(server.port))) as pinner:
        await pinner.until(lambda p: "i-2" in p.ids)
        assert pinner.ids == ["i-1", "i-2"]
    assert "stale" in _causes(caplog)


async def test_bad_instructions_are_refused_with_their_reason_and_the_rest_goes_on() -> None:
    labels = {"example.com/large": "x" * (10 << 20)}
    unknown = _with_unknown_field(3)
    bad: list[tuple[Instruction | bytes, ReasonCode]] = [
        (instruction(1, action=Release("Not_A_Name")), ReasonCode.INVALID_NODE_NAME),
        (instruction(2, action=CreatePlaceholder(Promise("n", {}, labels))), ReasonCode.TOO_LARGE),
        (unknown, ReasonCode.UNKNOWN_FIELD),
        (instruction(4, action=CreatePlaceholder(Promise("n", {"cpu": "-1"}))), ReasonCode.INVALID_QUANTITY),
        (instruction(5, action=PinPods("n", ())), ReasonCode.MALFORMED),
        (instruction(6, key="x" * 129), ReasonCode.MALFORMED),
    ]
    heard: list[Ack] = []

    async def script(visit: Visit) -> None:
        await visit.say(welcome(), snapshot_end(0, 0), *(message for message, _ in bad), instruction(7))
        heard.extend([await visit.hear_ack() for _ in range(7)])
        await visit.stay()

    before = _acks("create-placeholder", "rejected")
    async with scripted(script) as server, Pinner(InstructionStream(settings(server.port))) as pinner:
        await eventually(lambda: len(heard) == 7)
        assert pinner.ids == ["i-7"]
    assert len(server.hellos) == 1
    refused = sorted((ack for ack in heard if ack.outcome is Outcome.REJECTED), key=lambda ack: ack.position)
    assert [ack.reason for ack in refused] == [reason for _, reason in bad]
    assert all(ack.sentence for ack in refused)
    assert _acks("create-placeholder", "rejected") == before + 1


def _with_unknown_field(sequence: int) -> bytes:
    from moorage.protocol._generated import pinning_pb2 as pb

    message = pb.StreamResponse.FromString(codec.encode_response(instruction(sequence)))
    message.instruction.MergeFromString(b"\xfa\x01\x01x")
    return message.SerializeToString()


async def test_the_window_bounds_what_is_taken_and_acknowledgements_open_it() -> None:
    sent: list[int] = []

    async def script(visit: Visit) -> None:
        await visit.say(welcome(), snapshot_end(0, 0))
        for sequence in range(1, 31):
            await visit.say(instruction(sequence))
            sent.append(sequence)
        await visit.stay()

    async with scripted(script) as server:
        stream = InstructionStream(settings(server.port, window=4))
        async with Pinner(stream, answer=lambda _: None) as pinner:
            await pinner.until(lambda p: len(p.ids) == 4)
            await eventually(lambda: len(sent) == 30)
            for turn in range(4, 31):
                assert pinner.ids == [f"i-{number}" for number in range(1, turn + 1)]
                stream.ack(Ack(f"i-{turn - 3}", Position(EPOCH, turn - 3), Outcome.ACCEPTED))
                if turn < 30:
                    await pinner.until(lambda p, wanted=turn + 1: len(p.ids) == wanted)  # type: ignore[misc]
    assert server.hellos[0].window == 4


async def test_a_full_window_does_not_hide_the_end_of_the_stream() -> None:
    gone = asyncio.Event()

    async def first(visit: Visit) -> None:
        await visit.say(welcome(), snapshot_end(0, 0), instruction(1), instruction(2))
        await gone.wait()

    async def second(visit: Visit) -> None:
        assert visit.hello.position == Position(EPOCH, 1)
        await visit.say(welcome(1, snapshot=False), instruction(2))
        await visit.stay()

    async with scripted(first, second) as server:
        stream = InstructionStream(settings(server.port, window=1))
        async with Pinner(stream, answer=lambda _: None) as pinner:
            await pinner.until(lambda p: p.ids == ["i-1"])
            gone.set()
            await asyncio.sleep(0)
            stream.ack(applied(instruction(1)))
            await pinner.until(lambda p: p.ids[-1] == "i-2")


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
    assert _causes(caplog) == {"silent"}


@pytest.mark.parametrize(
    ("answer", "causes"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", {"no-planner"}),
        (bytes(range(256)) * 20, {"no-planner"}),
        (b"", {"unreachable"}),
        (None, {"silent"}),
    ],
)
async def test_rubbish_and_silence_below_the_protocol(
    answer: bytes | None, causes: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with _tcp_server(answer) as port:
        stream = InstructionStream(settings(port, connect_timeout=0.5))
        async with Pinner(stream):
            await eventually(lambda: len(_resets(caplog)) >= 2)
    assert _causes(caplog) == causes


@asynccontextmanager
async def _tcp_server(answer: bytes | None) -> AsyncIterator[int]:
    visits: set[asyncio.Task[Any]] = set()
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        visits.add(task)
        with contextlib.suppress(ConnectionError):
            if answer is None:
                await over.wait()
            else:
                await reader.read(1)
                writer.write(answer)
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        over.set()  # gRPC keeps a connection that says nothing for 20 s, whatever becomes of the channel
        if visits:
            await asyncio.wait(visits, timeout=HANG)


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
    assert _causes(caplog) == {"malformed"}


async def test_messages_of_a_kind_that_is_not_known_are_skipped() -> None:
    async def script(visit: Visit) -> None:
        await visit.say(welcome(), b"\xfa\x01\x01x", instruction(1), snapshot_end(1, 1))
        await visit.stay()

    async with scripted(script) as server, Pinner(InstructionStream(settings(server.port))) as pinner:
        await pinner.until(lambda p: len(p.received) == 2)
    assert len(server.hellos) == 1


async def test_a_wrong_key_is_a_warning_once_and_a_new_one_in_the_file_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("wrong\n")

    async def script(visit: Visit) -> None:
        key = dict(visit.context.invocation_metadata()).get("authorization")
        if key != "Bearer right":
            await visit.context.abort(grpc.StatusCode.UNAUTHENTICATED, "the API key is wrong")
        await visit.say(welcome(), instruction(1), snapshot_end(1, 1))
        await visit.stay()

    problems: list[tuple[Cause, str]] = []
    async with scripted(script) as server:
        endpoint = Endpoint(address=Address(LOOPBACK, server.port), plaintext=True, key_file=key_file)
        stream = InstructionStream(
            settings(server.port, endpoint=endpoint), on_problem=lambda *problem: problems.append(problem)
        )
        async with Pinner(stream) as pinner:
            await eventually(lambda: len(_resets(caplog)) >= 4)
            key_file.write_text("right\n")
            await pinner.until(lambda p: p.ids == ["i-1"])
    assert _causes(caplog) == {"unauthenticated"}
    assert [record.levelname for record in _resets(caplog)].count("WARNING") == 1
    assert problems == [(Cause.UNAUTHENTICATED, "UNAUTHENTICATED: the API key is wrong")]
    assert "wrong\n" not in caplog.text
    assert "right" not in caplog.text


def _waits(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    message = "not connected to the planner, credentials are missing"
    return [vars(record) for record in caplog.records if record.getMessage() == message]


@pytest.mark.parametrize("content", [None, "", "two\nlines", "ümlaut"])
async def test_without_a_key_nobody_is_connected_to_until_there_is_one(
    content: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key_file = tmp_path / "key"
    if content is not None:
        key_file.write_text(content)
    problems: list[tuple[Cause, str]] = []

    async def script(visit: Visit) -> None:
        await visit.say(welcome(), instruction(1), snapshot_end(1, 1))
        await visit.stay()

    async with scripted(script) as server:
        endpoint = Endpoint(
            address=Address(LOOPBACK, server.port), plaintext=True, key_file=key_file, advice="Install it"
        )
        stream = InstructionStream(
            settings(server.port, endpoint=endpoint), on_problem=lambda *each: problems.append(each)
        )
        async with Pinner(stream) as pinner:
            await eventually(lambda: len(_waits(caplog)) == 1)
            await asyncio.sleep(0.05)  # several looks later
            assert len(_waits(caplog)) == len(problems) == 1
            assert server.metadata == []
            key_file.write_text("right-key\n")
            await pinner.until(lambda p: p.ids == ["i-1"])
    (cause, sentence) = problems[0]
    assert cause is Cause.CREDENTIALS
    assert str(key_file) in sentence
    assert sentence.endswith(". Install it")
    assert "lines" not in sentence
    assert "credentials are there, connecting" in caplog.text
    assert server.metadata[0]["authorization"] == "Bearer right-key"
    assert logs.JsonFormatter().format(logging.makeLogRecord({"msg": "say right-key"})).count("right-key") == 0


async def test_the_other_name_of_the_key_counts_while_there_is_no_file(tmp_path: Path) -> None:
    key_file = tmp_path / "key"

    async def script(visit: Visit) -> None:
        await visit.say(welcome(), snapshot_end(0, 0))

    async with scripted(script) as server:
        endpoint = Endpoint(
            address=Address(LOOPBACK, server.port), plaintext=True, key_file=key_file, other_key=Secret("from-env")
        )
        async with Pinner(InstructionStream(settings(server.port, endpoint=endpoint))):
            await eventually(lambda: len(server.metadata) > 0)
            key_file.write_text("from-file")
            await eventually(lambda: server.metadata[-1]["authorization"] == "Bearer from-file")
        assert server.metadata[0]["authorization"] == "Bearer from-env"


async def test_a_planner_elsewhere_is_not_asked_without_a_key(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc.aio, "secure_channel", _no_channel)
    endpoint = Endpoint(address=Address("planner.example", 9443))
    async with Pinner(InstructionStream(settings(1, endpoint=endpoint))):
        await eventually(lambda: len(_waits(caplog)) == 1)
    assert "planner.example:9443 is not asked without one" in _waits(caplog)[0]["error"]


def _no_channel(*_: object, **__: object) -> None:
    raise AssertionError("a channel was made")


async def test_tls_with_the_right_authority_with_a_wrong_one_and_with_a_repaired_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    right, wrong = authority("right"), authority("wrong")
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(wrong.certificate)

    async def script(visit: Visit) -> None:
        await visit.say(welcome(), instruction(1), snapshot_end(1, 1))
        await visit.stay()

    async with scripted(script, credentials=right.credentials) as server:
        endpoint = Endpoint(address=Address(LOOPBACK, server.port), ca_file=ca_file, key=Secret("secret-key"))
        async with Pinner(InstructionStream(settings(server.port, endpoint=endpoint))) as pinner:
            await eventually(lambda: len(_resets(caplog)) >= 3)
            assert server.metadata == []  # nobody was shown the key
            ca_file.write_bytes(right.certificate)
            await pinner.until(lambda p: p.ids == ["i-1"])
        assert server.metadata[0]["authorization"] == "Bearer secret-key"
    assert _causes(caplog) == {"certificate"}
    assert [record.levelname for record in _resets(caplog)].count("WARNING") == 1


async def test_an_authority_file_that_is_gone_or_empty_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc.aio, "secure_channel", _no_channel)  # least of all with the system's authorities
    ca_file = tmp_path / "ca.pem"
    endpoint = Endpoint(address=Address(LOOPBACK, 1), ca_file=ca_file, key=Secret("secret-key"))
    async with Pinner(InstructionStream(settings(1, endpoint=endpoint))):
        await eventually(lambda: len(_waits(caplog)) == 1)
        ca_file.write_bytes(b"nothing")
        await eventually(lambda: len(_waits(caplog)) == 2)  # it is something else that is wrong now
    first, second = (each["error"] for each in _waits(caplog))
    assert "there is no such file" in first
    assert "it holds no certificate" in second
    assert str(ca_file) in first


@pytest.mark.parametrize("host", ["cast.ai", "api.cast.ai", "API.Cast.AI.", "grpc.eu.cast.ai"])
async def test_cast_ai_gets_neither_a_connection_nor_the_key(
    host: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc.aio, "secure_channel", _no_channel)
    problems: list[tuple[Cause, str]] = []
    endpoint = Endpoint(address=Address(host, 443), key=Secret("secret-key"))
    stream = InstructionStream(settings(1, endpoint=endpoint), on_problem=lambda *each: problems.append(each))
    async with Pinner(stream):
        await eventually(lambda: len(problems) == 1)
        await asyncio.sleep(0.05)
    assert [cause for cause, _ in problems] == [Cause.OTHER_PROTOCOL]
    assert host in problems[0][1]
    assert [record.levelname for record in caplog.records if record.name.startswith("moorage.pinner")] == ["ERROR"]


@pytest.mark.parametrize("host", ["cast.ai.example.com", "notcast.ai", "moorage-planner.castai-agent"])
def test_others_are_not_taken_for_cast_ai(host: str) -> None:
    assert not Endpoint(address=Address(host, 443)).speaks_another_protocol


@pytest.mark.parametrize("host", ["192.0.2.1", "planner.castai-agent", "0.0.0.0", "127.0.0.1.example.com"])  # noqa: S104
def test_plaintext_to_another_machine_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match=r"Plaintext is for planners on this machine"):
        Endpoint(address=Address(host, 443), plaintext=True)


async def test_an_unreachable_planner_becomes_a_warning_when_it_lasts(caplog: pytest.LogCaptureFixture) -> None:
    server = await asyncio.start_server(lambda _r, w: w.close(), LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    before = REGISTRY.get_sample_value("moorage_stream_resets_total", {"cause": "unreachable"}) or 0.0
    async with Pinner(InstructionStream(settings(port))):
        await eventually(lambda: len(_resets(caplog)) >= 8)
    levels = [record.levelname for record in _resets(caplog)]
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
    async with _tcp_server(b"") as port:
        for turn in range(60):
            async with asyncio.timeout(HANG), Pinner(InstructionStream(settings(port))):
                await asyncio.sleep(0.003 * (turn % 20))
