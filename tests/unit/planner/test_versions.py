"""A planner and a pinner one version apart, over real streams: unknown fields are skipped.

A peer of a newer version is one that sets, in every message, fields that are not known here, sends messages of unknown
kind and uses numbers of enumerations that are not known. An instruction is the exception: it is refused by name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from google.protobuf.message import Message

from moorage.ops.parsing import Address
from moorage.pinner.stream.client import InstructionStream
from moorage.planner.instruction_store import InstructionStore
from moorage.planner.server import PlannerServer, ServerSettings
from moorage.protocol import (
    Acks,
    CreatePlaceholder,
    Heartbeat,
    Hello,
    NodeReport,
    NodeReports,
    NodeState,
    Outcome,
    Position,
    ReasonCode,
    Webhook,
    Welcome,
    codec,
    rpc,
)
from moorage.protocol._generated import pinning_pb2 as pb
from moorage.protocol.rpc import grpc
from tests.unit.protocol.support import (
    LOOPBACK,
    Pinner,
    Visit,
    applied,
    eventually,
    instruction,
    promise,
    scripted,
    settings,
    snapshot_end,
    welcome,
)

CLUSTER = "cluster-1"
LATER = b"\xfa\x01\x01x"
"""Field 31, which no message has; as a message it is one of unknown kind."""
UNKNOWN = 999
"""A number that no enumeration has."""


def parts(message: Message) -> Iterator[Message]:
    """A message and all messages in it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for each in [value] if isinstance(value, Message) else value:
            yield from parts(each)


def newer(message: Message) -> bytes:
    """A message as a newer version sends it."""
    for each in [*parts(message)]:
        each.MergeFromString(LATER)
    return message.SerializeToString()


def said(data: bytes) -> pb.StreamRequest:
    return pb.StreamRequest.FromString(data)


@asynccontextmanager
async def serving(board: InstructionStore) -> AsyncIterator[PlannerServer]:
    server = PlannerServer(board, ServerSettings(address=Address(LOOPBACK, 0), heartbeat=0.05))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def planned(nodes: int) -> InstructionStore:
    board = InstructionStore()
    board.start("plan", timedelta(minutes=10))
    for number in range(nodes):
        board.issue(CreatePlaceholder(promise(f"node-{number}")))
    return board


@asynccontextmanager
async def calling(server: PlannerServer, hello: bytes) -> AsyncIterator[Any]:
    """A pinner of another implementation."""
    async with grpc.aio.insecure_channel(f"{LOOPBACK}:{server.port}") as channel:
        call: Any = channel.stream_stream(rpc.PATH)()
        await call.write(hello)
        yield call
        assert not call.done(), "the planner has ended the stream"
        call.cancel()


async def test_a_newer_pinner_is_served_and_its_answers_count() -> None:
    board = planned(3)
    one, two, three = board
    hello = said(codec.encode_request(Hello(CLUSTER, "r", "9.0.0")))
    async with serving(board) as server, calling(server, newer(hello)) as call:
        await call.write(LATER)
        acks = pb.StreamRequest()
        for each, outcome, reason in (
            (one, UNKNOWN, UNKNOWN),
            (one, pb.OUTCOME_APPLIED, 0),
            (two, pb.OUTCOME_REJECTED, UNKNOWN),
            (three, UNKNOWN, 0),
        ):
            # Numbers that are not known are not to be set but on the wire: outcome is field 3, reason field 4.
            ack = acks.acks.acks.add(instruction_id=each.id, sentence="the moon is full")
            ack.position.epoch, ack.position.sequence = each.position.epoch, each.position.sequence
            ack.MergeFromString(
                b"".join(bytes([key << 3]) + varint(value) for key, value in ((3, outcome), (4, reason)))
            )
        await call.write(newer(acks))
        await eventually(lambda: board.ack(CLUSTER, three) is not None)
        answers = [board.ack(CLUSTER, each) for each in board]
        assert [each.outcome for each in answers if each] == [Outcome.APPLIED, Outcome.REJECTED, Outcome.ACCEPTED]
        refusal = board.ack(CLUSTER, two)
        assert refusal is not None
        assert (refusal.reason, refusal.sentence) == (ReasonCode.INTERNAL, "the moon is full")
        assert [each.id for each in board.unfinished(CLUSTER)] == [three.id], "another answer may follow"

        reports = said(codec.encode_request(NodeReports((NodeReport("node-0", NodeState.READY),), Webhook.SERVING)))
        reports.reports.reports.add(node="node-1").MergeFromString(bytes([2 << 3]) + varint(UNKNOWN))
        await call.write(newer(reports))
        await eventually(lambda: len(board.reports.of(CLUSTER)) == 2)
        states = {name: report.state for name, report in board.reports.of(CLUSTER).items()}
        assert states == {"node-0": NodeState.READY, "node-1": NodeState.UNSPECIFIED}
        assert board.reports.webhook(CLUSTER) is Webhook.SERVING
        assert len(server.pinners) == 1


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


async def test_an_older_pinner_that_reports_nothing_is_served_and_nothing_is_taken_for_known() -> None:
    board = planned(2)
    oldest = pb.StreamRequest(hello=pb.Hello(cluster_id=CLUSTER, replica="r"))
    async with serving(board) as server, calling(server, oldest.SerializeToString()) as call:
        seen = [codec.decode_response(await call.read()) for _ in range(4)]
        assert isinstance(seen[0], Welcome)
        acks = Acks(tuple(applied(each) for each in board))
        await call.write(codec.encode_request(acks))
        await eventually(lambda: board.unfinished(CLUSTER) == [])
        assert board.reports.is_led(CLUSTER)
        assert not board.reports.of(CLUSTER)
        assert board.reports.webhook(CLUSTER) is Webhook.UNSPECIFIED


async def test_a_newer_planner_is_followed_but_for_instructions_that_say_more_than_is_understood() -> None:
    heard: list[tuple[str, ReasonCode]] = []
    stranger = pb.StreamResponse.FromString(codec.encode_response(instruction(2)))
    stranger.instruction.ClearField("create_placeholder")  # an action that is not known here is such a field
    beat = Heartbeat(Position(instruction(1).position.epoch, 3), 0)

    async def script(visit: Visit) -> None:
        for message in (welcome(), snapshot_end(0, 0)):
            await visit.say(newer(pb.StreamResponse.FromString(codec.encode_response(message))), LATER)
        await visit.say(instruction(1), newer(stranger), instruction(3))
        await visit.say(newer(pb.StreamResponse.FromString(codec.encode_response(beat))))
        for _ in range(3):
            ack = await visit.hear_ack()
            heard.append((ack.instruction_id, ack.reason))
        await visit.stay()

    async with scripted(script) as server, Pinner(InstructionStream(settings(server.port))) as pinner:
        await eventually(lambda: len(heard) == 3)
        assert pinner.ids == ["i-1", "i-3"]
    assert sorted(heard) == [("i-1", ReasonCode.OK), ("i-2", ReasonCode.UNKNOWN_FIELD), ("i-3", ReasonCode.OK)]
    assert len(server.hellos) == 1, "one connection all the while"
