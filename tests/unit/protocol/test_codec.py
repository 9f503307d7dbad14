"""Encoded messages can be decoded; invalid ones are refused with the field's name."""

from __future__ import annotations

import ast
import contextlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import moorage
from moorage.objects import Taint
from moorage.protocol import (
    Ack,
    Acks,
    BindWhen,
    ClientMessage,
    CreatePlaceholder,
    DeletePlaceholder,
    ExpectPods,
    Heartbeat,
    Hello,
    Instruction,
    NodeReport,
    NodeReports,
    NodeState,
    Outcome,
    Owner,
    PinPods,
    PodRef,
    PodResult,
    Position,
    Promise,
    ProtocolError,
    ReasonCode,
    Release,
    ServerMessage,
    Slot,
    SlotReport,
    SnapshotEnd,
    Webhook,
    Welcome,
    codec,
)
from moorage.protocol._generated import pinning_pb2 as pb
from tests.unit.protocol.support import instruction
from tools.generate import protocol as generator

texts = st.text(st.characters(codec="utf-8"), max_size=40)
printable = st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
counts = st.integers(0, 2**62)
positions = st.builds(Position, counts, counts)
real_positions = st.builds(Position, st.integers(1, 2**62), st.integers(1, 2**62))
maps = st.dictionaries(texts, texts, max_size=4)
taints = st.tuples(st.builds(Taint, key=texts, value=texts, effect=texts))
pods = st.builds(PodRef, texts, texts, texts)
owners = st.builds(Owner, texts, texts, texts, texts)
slots = st.builds(Slot, owners, maps, st.integers(0, 2**31 - 1))
moments = st.datetimes(timezones=st.just(UTC))
actions = st.one_of(
    st.builds(
        CreatePlaceholder,
        st.builds(
            Promise,
            texts,
            maps,
            maps,
            taints,
            taints,
            texts,
            texts,
            texts,
            maps,
            st.booleans(),
            maps,
            st.sampled_from(BindWhen),
        ),
    ),
    st.builds(DeletePlaceholder, texts),
    st.builds(PinPods, texts, st.lists(pods, max_size=4).map(tuple)),
    st.builds(ExpectPods, texts, st.lists(slots, max_size=3).map(tuple)),
    st.builds(Release, texts),
)
outcomes = st.sampled_from(Outcome)
reasons = st.sampled_from(ReasonCode)
results = st.builds(PodResult, pods, outcomes, reasons, texts, texts)
server_messages = st.one_of(
    st.builds(Welcome, real_positions, st.booleans(), texts, st.integers(1, 60).map(float)),
    st.builds(Instruction, printable, real_positions, moments, moments, actions, texts),
    st.builds(SnapshotEnd, positions, counts),
    st.builds(Heartbeat, positions, counts),
)
acks = st.builds(Ack, texts, positions, outcomes, reasons, texts, st.lists(results, max_size=3).map(tuple))
pieces = st.integers(0, 2**31 - 1)
sentences = st.lists(texts, max_size=3).map(tuple)
slot_reports = st.builds(SlotReport, owners, pieces, pieces, pieces, pieces, texts)
node_reports = st.builds(
    NodeReport,
    printable,
    st.sampled_from(NodeState),
    texts,
    texts,
    sentences,
    st.lists(slot_reports, max_size=3).map(tuple),
    positions,
)
client_messages = st.one_of(
    st.builds(NodeReports, st.lists(node_reports, max_size=3).map(tuple), st.sampled_from(Webhook)),
    st.builds(Hello, printable, texts, texts, positions, st.integers(0, 2**31 - 1), st.booleans()),
    st.builds(Acks, st.lists(acks, max_size=3).map(tuple)),
)


@given(server_messages)
def test_what_a_server_says_is_read_as_it_was_meant(message: ServerMessage) -> None:
    assert codec.decode_response(codec.encode_response(message)) == message


@given(client_messages)
def test_what_a_client_says_is_read_as_it_was_meant(message: ClientMessage) -> None:
    assert codec.decode_request(codec.encode_request(message)) == message


@given(st.binary(max_size=200))
def test_rubbish_is_an_error_and_nothing_else(data: bytes) -> None:
    for decode in (codec.decode_request, codec.decode_response):
        with contextlib.suppress(ProtocolError):
            decode(data)


@given(server_messages, st.data())
def test_damaged_messages_are_an_error_and_nothing_else(message: ServerMessage, data: st.DataObject) -> None:
    whole = bytearray(codec.encode_response(message))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ProtocolError):
        codec.decode_response(bytes(whole))


def _response(change: str) -> pb.StreamResponse:
    """The bytes of an instruction with one thing changed, as protobuf's text format names it."""
    message = pb.StreamResponse.FromString(codec.encode_response(instruction(3)))
    exec(change, {"i": message.instruction, "pb": pb})  # noqa: S102 - written below
    return message


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("i.id = ''", "instruction.id"),
        ("i.id = 'x' * 129", "instruction.id"),
        ("i.id = 'a\\nb'", "instruction.id"),
        ("i.position.sequence = -1", "instruction.position"),
        ("i.position.epoch = 0", "instruction.position"),
        ("i.ClearField('deadline')", "instruction.deadline"),
        ("i.deadline.seconds = 2**62", "instruction.deadline"),
        ("i.issued.seconds = -2**62", "instruction.issued"),
        ("i.ClearField('create_placeholder')", "instruction.action"),
    ],
)
def test_a_malformed_instruction_names_the_field(change: str, field: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        codec.decode_response(_response(change).SerializeToString())
    assert (caught.value.reason, caught.value.field) == (ReasonCode.MALFORMED, field)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("i.MergeFromString(b'\\xfa\\x01\\x01x')", "instruction.#31"),
        (
            "i.create_placeholder.promise.MergeFromString(b'\\xfa\\x01\\x01x')",
            "instruction.create_placeholder.promise.#31",
        ),
        (
            "i.create_placeholder.promise.taints.add().MergeFromString(b'\\xfa\\x01\\x01x')",
            "instruction.create_placeholder.promise.taints[0].#31",
        ),
        ("i.deadline.MergeFromString(b'\\xfa\\x01\\x01x')", "instruction.deadline.#31"),
        ("i.create_placeholder.promise.bind_when = 7", "instruction.create_placeholder.promise.bind_when"),
    ],
)
def test_a_field_that_is_not_known_is_refused_wherever_it_is(change: str, field: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        codec.decode_response(_response(change).SerializeToString())
    assert (caught.value.reason, caught.value.field) == (ReasonCode.UNKNOWN_FIELD, field)
    assert (caught.value.instruction_id, caught.value.position.sequence) == ("i-3", 3)


def test_unknown_fields_and_messages_around_instructions_are_skipped() -> None:
    assert codec.decode_response(b"\xfa\x01\x01x") is None
    assert codec.decode_request(b"\xfa\x01\x01x") is None
    beat = pb.StreamResponse()
    beat.heartbeat.acknowledged = 7
    beat.heartbeat.MergeFromString(b"\xfa\x01\x01x")
    assert codec.decode_response(beat.SerializeToString()) == Heartbeat(Position(), 7)


def test_an_instruction_of_ten_mebibytes_is_refused_by_name() -> None:
    labels = {"example.com/large": "x" * (10 << 20)}
    large = instruction(3, action=CreatePlaceholder(Promise("node-3", {}, labels)))
    with pytest.raises(ProtocolError) as caught:
        codec.decode_response(codec.encode_response(large))
    assert caught.value.reason is ReasonCode.TOO_LARGE
    assert (caught.value.instruction_id, caught.value.position) == (large.id, large.position)


@pytest.mark.parametrize("seconds", [0, 61, -1])
def test_a_heartbeat_interval_that_makes_no_sense(seconds: int) -> None:
    message = pb.StreamResponse()
    message.welcome.position.epoch = 1
    message.welcome.heartbeat.seconds = seconds
    with pytest.raises(ProtocolError, match="heartbeat"):
        codec.decode_response(message.SerializeToString())


def test_acknowledgements_without_an_outcome_or_of_a_newer_pinner() -> None:
    message = pb.StreamRequest()
    message.acks.acks.add(outcome=pb.OUTCOME_APPLIED)
    ack = message.acks.acks.add(instruction_id="i")
    with pytest.raises(ProtocolError, match=r"acks\[1\]\.outcome"):
        codec.decode_request(message.SerializeToString())
    ack.outcome = pb.OUTCOME_REJECTED
    ack.MergeFromString(b"\x20\xe7\x07")  # reason: 999
    read = codec.decode_request(message.SerializeToString())
    assert isinstance(read, Acks)
    assert read.acks[1] == Ack("i", Position(), Outcome.REJECTED, ReasonCode.INTERNAL)


def test_the_largest_acknowledgement_is_one_that_a_server_takes() -> None:
    result = PodResult(PodRef("n" * 63, "p" * 253, "u" * 128), Outcome.REJECTED, ReasonCode.DOES_NOT_FIT, "ü" * 9999)
    ack = Ack("i" * 128, Position(1, 1), Outcome.REJECTED, ReasonCode.DOES_NOT_FIT, "x" * 9999, (result,) * 1000)
    assert len(codec.encode_request(Acks((ack,)))) < 4 << 20


def test_a_report_is_cut_to_what_a_server_takes_and_a_newer_state_is_none_of_ours() -> None:
    slot = SlotReport(Owner("Deployment", "n" * 63, "d" * 253, "u" * 128), 1, reason="ü" * 9999)
    report = NodeReport("n", NodeState.READY, "u" * 999, "x" * 9999, ("ü" * 9999,) * 99, (slot,) * 2000)
    written = codec.encode_request(NodeReports((report,)))
    assert len(written) < 4 << 20
    read = codec.decode_request(written)
    assert isinstance(read, NodeReports)
    assert (len(read.reports[0].slots), len(read.reports[0].shortfalls)) == (1000, 32)
    newer = pb.StreamRequest()
    newer.reports.reports.add(node="n").MergeFromString(b"\x10\xe7\x07")  # state: 999
    newer.reports.MergeFromString(b"\x10\xe7\x07")  # webhook: 999
    read = codec.decode_request(newer.SerializeToString())
    assert read == NodeReports((NodeReport("n", NodeState.UNSPECIFIED),))


@pytest.mark.parametrize(
    ("report", "field"),
    [(pb.NodeReport(), r"reports\[0\]\.node"), (pb.NodeReport(node="n", slots=[pb.SlotReport()] * 1001), "slots")],
)
def test_a_report_of_nothing_or_of_too_much_is_refused_by_name(report: pb.NodeReport, field: str) -> None:
    with pytest.raises(ProtocolError, match=field):
        codec.decode_request(pb.StreamRequest(reports=pb.NodeReports(reports=[report])).SerializeToString())


def test_half_a_character_in_a_sentence_does_no_harm() -> None:
    ack = Ack("i", Position(1, 1), Outcome.FAILED, sentence="a\udc80b")
    read = codec.decode_request(codec.encode_request(Acks((ack,))))
    assert isinstance(read, Acks)
    assert read.acks[0].sentence == "a?b"


def test_reasons_and_outcomes_have_the_numbers_of_the_proto() -> None:
    wire = {name: number for name, number in pb.ReasonCode.items() if number}
    assert wire == {f"REASON_CODE_{code.name}": code.number for code in ReasonCode}
    assert {name for name, number in pb.Outcome.items() if number} == {f"OUTCOME_{outcome.name}" for outcome in Outcome}
    assert set(pb.Webhook.keys()) == {f"WEBHOOK_{webhook.name}" for webhook in Webhook}
    assert set(pb.NodeState.keys()) == {f"NODE_STATE_{state.name}" for state in NodeState}


def test_every_reason_says_what_it_means_and_what_to_do() -> None:
    for code in ReasonCode:
        assert code.sentence, code
        assert code.when.endswith("."), code
        assert code.advice.endswith("."), code
        assert f"`{code.name}`" in generator.reasons()


def test_times_keep_their_microseconds() -> None:
    moment = datetime(1969, 12, 31, 23, 59, 59, 123456, tzinfo=UTC)
    read = codec.decode_response(codec.encode_response(Instruction("i", Position(1, 1), moment, moment, Release("n"))))
    assert isinstance(read, Instruction)
    assert read.deadline == moment


def test_generated_code_is_what_the_proto_says_and_only_those_beside_it_see_it() -> None:
    for name, text in generator.modules().items():
        assert (generator.ROOT / name).read_text() == text, name
    package = Path(moorage.__file__).parent
    users = {path for path in package.rglob("*.py") if "_generated" not in path.parts and _imports(path)}
    assert {path.name for path in users if path.parent != package / "kube" / "wire"} == {"codec.py"}


def _imports(path: Path) -> bool:
    tree = ast.parse(path.read_text())
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return any("_generated" in module for module in modules)
