"""The stream client with correct servers, and with those that repeat, skip or reorder."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from moorage.pinner.stream.client import FLOOD, InstructionStream
from moorage.pinner.stream.connection import Connection
from moorage.pinner.stream.state import TOGETHER, Outbox
from moorage.protocol import (
    Ack,
    Acks,
    ClientMessage,
    CreatePlaceholder,
    Heartbeat,
    Instruction,
    NodeReport,
    NodeReports,
    NodeState,
    Outcome,
    PinPods,
    PodRef,
    PodResult,
    Position,
    Promise,
    ReasonCode,
    Release,
    SnapshotEnd,
    codec,
)
from tests.unit.pinner.stream.lines import causes
from tests.unit.protocol.support import (
    EPOCH,
    Pinner,
    Visit,
    applied,
    eventually,
    instruction,
    scripted,
    settings,
    snapshot_end,
    welcome,
)


def _acks(action: str, outcome: str) -> float:
    return REGISTRY.get_sample_value("moorage_instructions_total", {"action": action, "outcome": outcome}) or 0.0


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


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_what_is_said_while_something_is_written_does_not_wait_for_the_next_news(
    monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Each written message causes the next one, of the other kind: nothing else wakes the writer."""
    write, heard = Connection.write, list[str]()

    async def serve(visit: Visit) -> None:
        await visit.say(welcome(), snapshot_end(0, 0))
        while len(heard) < 6:
            data = await visit.context.read()
            assert isinstance(data, bytes), "the client has ended the stream"
            heard.append(type(codec.decode_request(data)).__name__)

    async def chained(connection: Connection, message: ClientMessage) -> None:
        if moment == "after":
            await write(connection, message)
        if isinstance(message, Acks):
            stream.report(NodeReport(f"n-{len(heard)}", NodeState.READY))
        elif isinstance(message, NodeReports):
            stream.ack(applied(instruction(len(heard) + 1)))
        if moment == "before":
            await write(connection, message)

    monkeypatch.setattr(Connection, "write", chained)
    async with scripted(serve) as server:
        stream = InstructionStream(settings(server.port))
        async with Pinner(stream) as pinner:
            await pinner.until(lambda p: bool(p.received))
            stream.report(NodeReport("n", NodeState.READY))
            await eventually(lambda: len(heard) == 6)
    assert heard == ["NodeReports", "Acks"] * 3


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


def test_acknowledgements_go_together_in_their_order_and_never_as_more_than_a_server_takes() -> None:
    longest = PodResult(PodRef("n" * 63, "p" * 253, "u" * 36), Outcome.REJECTED, ReasonCode.DOES_NOT_FIT, "😀" * 9999)
    outbox = Outbox()
    added = [
        Ack(f"{number}", Position(1, number), Outcome.REJECTED, sentence="😀" * 9999, pods=(longest,) * pods)
        for number, pods in enumerate([*[0] * 40, 1000, *[0] * (TOGETHER - 1), 1000, TOGETHER - 2, 1000, 0])
    ]
    for ack in added:
        outbox.add(ack)
    taken = list(iter(outbox.take, ()))
    assert [ack for together in taken for ack in together] == added
    assert 1 < len(taken) < 10
    assert all(len(codec.encode_request(Acks(together))) < 4 << 20 for together in taken)
    outbox.confirm(len(taken[0]))
    outbox.reconnect()
    assert len(outbox) == len(added) - len(taken[0]), "what was sent and not confirmed goes again"


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
    assert "gap" in causes(caplog)


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
    assert causes(caplog) == {"gap"}


async def test_a_heartbeat_tells_of_an_instruction_that_was_lost(caplog: pytest.LogCaptureFixture) -> None:
    async def first(visit: Visit) -> None:
        await visit.say(welcome(), snapshot_end(0, 0), instruction(1), Heartbeat(Position(EPOCH, 2)))
        await visit.stay()

    async def second(visit: Visit) -> None:
        await visit.say(welcome(1, snapshot=False), instruction(2))
        await visit.stay()

    async with scripted(first, second) as server, Pinner(InstructionStream(settings(server.port))) as pinner:
        await pinner.until(lambda p: p.ids == ["i-1", "i-2"])
    assert causes(caplog) == {"gap"}


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
    assert "stale" in causes(caplog)


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


async def test_the_planner_keeps_the_window_and_everything_it_sends_is_read() -> None:
    async def script(visit: Visit) -> None:
        await visit.say(welcome(), snapshot_end(0, 0), *(instruction(sequence) for sequence in range(1, 31)))
        await visit.stay()

    async with scripted(script) as server:
        stream = InstructionStream(settings(server.port, window=4))
        async with Pinner(stream, answer=lambda _: None) as pinner:
            await pinner.until(lambda p: len(p.ids) == 30)
    assert server.hellos[0].window == 4


async def test_a_full_window_hides_neither_the_end_of_a_call_nor_a_newer_epoch() -> None:
    """One open instruction, a window of one: the planner ends, is replaced, and says that a newer plan is served."""

    async def first(visit: Visit) -> None:
        await visit.say(welcome(), snapshot_end(0, 0), instruction(1))

    async def second(visit: Visit) -> None:
        assert visit.hello.position == Position(EPOCH, 1)
        await visit.say(welcome(1, snapshot=False))
        await visit.say(welcome(epoch=EPOCH + 1), instruction(1, epoch=EPOCH + 1), snapshot_end(1, 1, epoch=EPOCH + 1))
        await visit.stay()

    async with scripted(first, second) as server:
        stream = InstructionStream(settings(server.port, window=1))
        async with Pinner(stream, answer=lambda _: None) as pinner:
            await pinner.until(lambda _: stream.position == Position(EPOCH + 1, 1))
            assert pinner.ids == ["i-1", "i-1"]


async def test_a_planner_that_keeps_no_window_is_left_and_nothing_is_lost() -> None:
    limit = FLOOD

    async def flood(visit: Visit) -> None:
        await visit.say(welcome(), snapshot_end(0, 0), *(instruction(sequence) for sequence in range(1, limit + 5)))
        await visit.stay()

    async def again(visit: Visit) -> None:
        assert visit.hello.position == Position(EPOCH, limit), "what was read and not passed on is asked for again"
        await visit.say(welcome(limit, snapshot=False), instruction(limit + 1))
        await visit.stay()

    async with scripted(flood, again) as server:
        stream = InstructionStream(settings(server.port, window=1))
        async with Pinner(stream, answer=lambda _: None) as pinner:
            await pinner.until(lambda p: len(p.ids) == limit)
            await eventually(lambda: len(server.hellos) == 2 or stream.position.sequence == limit)
            stream.ack(applied(instruction(1)))
            await pinner.until(lambda p: p.ids[-1] == f"i-{limit + 1}")
