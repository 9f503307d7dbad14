"""Encodes and decodes the messages of the protocol. No other module uses the generated code.

Decoding is strict where a skipped field could do harm (instructions), and lenient elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable

from moorage.objects import Taint

from ._generated import pinning_pb2 as pb
from .messages import (
    Ack,
    Acks,
    Action,
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
    Release,
    ServerMessage,
    Slot,
    SlotReport,
    SnapshotEnd,
    Webhook,
    Welcome,
)
from .reasons import ReasonCode
from .wire import ProtocolError, from_timestamp, need, parse, refuse_unknown, text, to_duration, to_timestamp

MAX_INSTRUCTION = 1 << 20
"""Largest instruction in bytes. Its content must fit into one NodeReservation, and etcd accepts 1.5 MiB."""
MAX_ID = 128
MAX_TEXT = 253
MAX_SENTENCE = 4096
MAX_SHORTFALLS = 32
MAX_SLOTS = 1000
_MAX_POD_SENTENCE = 512  # times 1000 pods, this is well below the 4 MiB that a gRPC server accepts

_REASONS = {code.number: code for code in ReasonCode}
_OUTCOMES = {getattr(pb, f"OUTCOME_{outcome.name}"): outcome for outcome in Outcome}
_NUMBERS = {outcome: number for number, outcome in _OUTCOMES.items()}
_WEBHOOKS = {getattr(pb, f"WEBHOOK_{webhook.name}"): webhook for webhook in Webhook}
_BIND_WHEN = {
    pb.BIND_WHEN_UNSPECIFIED: BindWhen.IMMEDIATELY,
    **{getattr(pb, f"BIND_WHEN_{each.name}"): each for each in BindWhen},
}
_STATES = {getattr(pb, f"NODE_STATE_{state.name}"): state for state in NodeState}


# --- messages of a client ---


def encode_request(message: ClientMessage) -> bytes:
    """Encode a Hello, Acks or NodeReports. Sentences that are too long are cut."""
    match message:
        case Hello():
            hello = pb.Hello(
                cluster_id=message.cluster_id,
                replica=message.replica,
                version=message.version,
                position=_position_pb(message.position),
                window=message.window,
                probe=message.probe,
            )
            return pb.StreamRequest(hello=hello).SerializeToString()
        case Acks():
            return pb.StreamRequest(acks=pb.Acks(acks=map(_ack_pb, message.acks))).SerializeToString()
        case NodeReports():
            reports = pb.NodeReports(
                reports=map(_report_pb, message.reports), webhook=f"WEBHOOK_{message.webhook.name}"
            )
            return pb.StreamRequest(reports=reports).SerializeToString()


def _ack_pb(ack: Ack) -> pb.Ack:
    return pb.Ack(
        instruction_id=ack.instruction_id,
        position=_position_pb(ack.position),
        outcome=_NUMBERS[ack.outcome],
        reason=_reason_pb(ack.reason),
        sentence=text(ack.sentence, MAX_SENTENCE),
        pods=[_pod_result_pb(result) for result in ack.pods],
    )


def decode_request(data: bytes) -> ClientMessage | None:
    """Decode a client's message; None for an unknown kind of message.

    Raises:
        ProtocolError: the message cannot be decoded.
    """
    message = parse(pb.StreamRequest, data)
    match message.WhichOneof("message"):
        case "hello":
            hello = message.hello
            need(1 <= len(hello.cluster_id) <= MAX_TEXT, "hello.cluster_id", f"must have 1 to {MAX_TEXT} characters")
            need(hello.window >= 0, "hello.window", "must not be negative")
            position = _position(hello.position, "hello.position")
            who = hello.replica[:MAX_TEXT], hello.version[:MAX_TEXT]
            return Hello(hello.cluster_id, *who, position, hello.window, hello.probe)
        case "acks":
            return Acks(tuple(_ack(ack, f"acks[{index}]") for index, ack in enumerate(message.acks.acks)))
        case "reports":
            reports = enumerate(message.reports.reports)
            webhook = _WEBHOOKS.get(message.reports.webhook, Webhook.UNSPECIFIED)
            return NodeReports(tuple(_report(report, f"reports[{index}]") for index, report in reports), webhook)
    return None


def _ack(ack: pb.Ack, path: str) -> Ack:
    need(len(ack.instruction_id) <= MAX_ID, f"{path}.instruction_id", f"has more than {MAX_ID} characters")
    return Ack(
        instruction_id=ack.instruction_id,
        position=_position(ack.position, f"{path}.position"),
        outcome=_outcome(ack.outcome, f"{path}.outcome"),
        reason=_reason(ack.reason),
        sentence=ack.sentence[:MAX_SENTENCE],
        pods=tuple(
            PodResult(
                pod=_pod_ref(result.pod),
                outcome=_outcome(result.outcome, f"{path}.pods[{index}].outcome"),
                reason=_reason(result.reason),
                sentence=result.sentence[:MAX_SENTENCE],
                node=result.node[:MAX_TEXT],
            )
            for index, result in enumerate(ack.pods)
        ),
    )


def _report_pb(report: NodeReport) -> pb.NodeReport:
    return pb.NodeReport(
        node=report.node,
        state=f"NODE_STATE_{report.state.name}",
        node_uid=report.node_uid,
        sentence=text(report.sentence, MAX_SENTENCE),
        shortfalls=[text(each, _MAX_POD_SENTENCE) for each in report.shortfalls[:MAX_SHORTFALLS]],
        slots=map(_slot_report_pb, report.slots[:MAX_SLOTS]),
        position=_position_pb(report.position),
    )


def _slot_report_pb(slot: SlotReport) -> pb.SlotReport:
    return pb.SlotReport(
        owner=_owner_pb(slot.owner),
        count=slot.count,
        webhook=slot.webhook,
        binding=slot.binding,
        scheduler=slot.scheduler,
        reason=text(slot.reason, _MAX_POD_SENTENCE),
    )


def _report(report: pb.NodeReport, path: str) -> NodeReport:
    need(1 <= len(report.node) <= MAX_TEXT, f"{path}.node", f"must have 1 to {MAX_TEXT} characters")
    need(len(report.slots) <= MAX_SLOTS, f"{path}.slots", f"{len(report.slots)}, at most {MAX_SLOTS} are accepted")
    return NodeReport(
        node=report.node,
        state=_STATES.get(report.state, NodeState.UNSPECIFIED),
        node_uid=report.node_uid[:MAX_ID],
        sentence=report.sentence[:MAX_SENTENCE],
        shortfalls=tuple(each[:_MAX_POD_SENTENCE] for each in report.shortfalls[:MAX_SHORTFALLS]),
        slots=tuple(_slot_report(slot) for slot in report.slots),
        position=_position(report.position, f"{path}.position"),
    )


def _slot_report(slot: pb.SlotReport) -> SlotReport:
    filled = slot.webhook, slot.binding, slot.scheduler
    return SlotReport(_owner(slot.owner), slot.count, *filled, slot.reason[:_MAX_POD_SENTENCE])


# --- messages of a server ---


def encode_response(message: ServerMessage) -> bytes:
    """Encode a Welcome, an Instruction, a SnapshotEnd or a Heartbeat."""
    match message:
        case Welcome():
            welcome = pb.Welcome(
                position=_position_pb(message.position),
                snapshot=message.snapshot,
                plan=message.plan,
                heartbeat=to_duration(message.heartbeat),
            )
            return pb.StreamResponse(welcome=welcome).SerializeToString()
        case Instruction():
            return pb.StreamResponse(instruction=_instruction_pb(message)).SerializeToString()
        case SnapshotEnd():
            end = pb.SnapshotEnd(position=_position_pb(message.position), instructions=message.instructions)
            return pb.StreamResponse(snapshot_end=end).SerializeToString()
        case Heartbeat():
            beat = pb.Heartbeat(position=_position_pb(message.position), acknowledged=message.acknowledged)
            return pb.StreamResponse(heartbeat=beat).SerializeToString()


def encode_action(action: Action) -> bytes:
    """Encode an action. The bytes of an action are the same on every machine and in every later version.

    Fields with default values are not written (proto3), so a field of a later version changes nothing.
    """
    message = pb.Instruction()
    _set_action(message, action)
    return message.SerializeToString(deterministic=True)


def decode_response(data: bytes) -> ServerMessage | None:
    """Decode a server's message; None for an unknown kind of message.

    The action of an instruction is decoded, not checked: see ``validate``.

    Raises:
        ProtocolError: the message cannot be decoded. For an instruction the error carries id and position as far as
            possible, so that it can be refused by name.
    """
    message = parse(pb.StreamResponse, data)
    match message.WhichOneof("message"):
        case "welcome":
            seconds = message.welcome.heartbeat.seconds + message.welcome.heartbeat.nanos / 1e9
            need(0 < seconds <= 60, "welcome.heartbeat", f"{seconds} s is not between 0 and 60 s")
            position = _position(message.welcome.position, "welcome.position")
            need(position.epoch > 0, "welcome.position.epoch", "must be more than 0")
            return Welcome(position, message.welcome.snapshot, message.welcome.plan[:MAX_TEXT], seconds)
        case "instruction":
            return _instruction(message.instruction, len(data))
        case "snapshot_end":
            end = message.snapshot_end
            return SnapshotEnd(_position(end.position, "snapshot_end.position"), end.instructions)
        case "heartbeat":
            beat = message.heartbeat
            return Heartbeat(_position(beat.position, "heartbeat.position"), beat.acknowledged)
    return None


def _instruction(instruction: pb.Instruction, size: int) -> Instruction:
    position = _position(instruction.position, "instruction.position")
    # The part of the id that fits into an acknowledgement, to identify the instruction.
    known = instruction.id[:MAX_ID]
    try:
        if size > MAX_INSTRUCTION:
            sentence = f"{size} bytes, at most {MAX_INSTRUCTION} are accepted"
            raise ProtocolError(ReasonCode.TOO_LARGE, "instruction", sentence)
        refuse_unknown(instruction, "instruction")
        need(1 <= len(instruction.id) <= MAX_ID, "instruction.id", f"must have 1 to {MAX_ID} characters")
        need(instruction.id.isprintable(), "instruction.id", "has characters that cannot be printed")
        need(position.epoch > 0 and position.sequence > 0, "instruction.position", "is missing")
        need(instruction.HasField("deadline"), "instruction.deadline", "is missing")
        return Instruction(
            id=instruction.id,
            position=position,
            issued=from_timestamp(instruction.issued, "instruction.issued"),
            deadline=from_timestamp(instruction.deadline, "instruction.deadline"),
            action=_action(instruction),
            plan=instruction.plan[:MAX_TEXT],
        )
    except ProtocolError as error:
        error.instruction_id, error.position = known, position
        raise


def _action(instruction: pb.Instruction) -> Action:
    match instruction.WhichOneof("action"):
        case "create_placeholder":
            return CreatePlaceholder(_promise(instruction.create_placeholder.promise))
        case "delete_placeholder":
            return DeletePlaceholder(instruction.delete_placeholder.node)
        case "pin_pods":
            return PinPods(instruction.pin_pods.node, tuple(_pod_ref(pod) for pod in instruction.pin_pods.pods))
        case "expect_pods":
            return ExpectPods(
                instruction.expect_pods.node, tuple(_slot(slot) for slot in instruction.expect_pods.slots)
            )
        case "release":
            return Release(instruction.release.node)
    raise ProtocolError(ReasonCode.MALFORMED, "instruction.action", "is missing")


def _promise(promise: pb.Promise) -> Promise:
    if promise.bind_when not in _BIND_WHEN:
        sentence = f"{promise.bind_when} is a value that this pinner does not know"
        raise ProtocolError(ReasonCode.UNKNOWN_FIELD, "instruction.create_placeholder.promise.bind_when", sentence)
    return Promise(
        name=promise.name,
        allocatable=dict(promise.allocatable),
        labels=dict(promise.labels),
        taints=_taints(promise.taints),
        startup_taints=_taints(promise.startup_taints),
        provider_id=promise.provider_id,
        profile=promise.profile,
        node_claim=promise.node_claim,
        match_labels=dict(promise.match_labels),
        allow_new_zone=promise.allow_new_zone,
        static_pods=dict(promise.static_pods),
        bind_when=_BIND_WHEN[promise.bind_when],
    )


def _taints(taints: Iterable[pb.Taint]) -> tuple[Taint, ...]:
    return tuple(Taint(key=taint.key, value=taint.value, effect=taint.effect) for taint in taints)


def _slot(slot: pb.Slot) -> Slot:
    return Slot(_owner(slot.owner), dict(slot.requests), slot.count)


def _owner(owner: pb.Owner) -> Owner:
    return Owner(owner.kind, owner.namespace, owner.name, owner.uid)


def _pod_ref(pod: pb.PodRef) -> PodRef:
    return PodRef(pod.namespace, pod.name, pod.uid)


def _instruction_pb(instruction: Instruction) -> pb.Instruction:
    message = pb.Instruction(
        id=instruction.id,
        position=_position_pb(instruction.position),
        issued=to_timestamp(instruction.issued),
        deadline=to_timestamp(instruction.deadline),
        plan=instruction.plan,
    )
    _set_action(message, instruction.action)
    return message


def _set_action(message: pb.Instruction, action: Action) -> None:
    match action:
        case CreatePlaceholder(promise):
            message.create_placeholder.promise.CopyFrom(_promise_pb(promise))
        case DeletePlaceholder(node):
            message.delete_placeholder.node = node
        case PinPods(node, pods):
            message.pin_pods.CopyFrom(pb.PinPods(node=node, pods=[_pod_ref_pb(pod) for pod in pods]))
        case ExpectPods(node, slots):
            message.expect_pods.CopyFrom(pb.ExpectPods(node=node, slots=[_slot_pb(slot) for slot in slots]))
        case Release(node):
            message.release.node = node


def _promise_pb(promise: Promise) -> pb.Promise:
    return pb.Promise(
        name=promise.name,
        allocatable=promise.allocatable,
        labels=promise.labels,
        taints=[_taint_pb(taint) for taint in promise.taints],
        startup_taints=[_taint_pb(taint) for taint in promise.startup_taints],
        provider_id=promise.provider_id,
        profile=promise.profile,
        node_claim=promise.node_claim,
        match_labels=promise.match_labels,
        allow_new_zone=promise.allow_new_zone,
        static_pods=promise.static_pods,
        # The default is left out, so that older pinners take the promise.
        bind_when=f"BIND_WHEN_{'UNSPECIFIED' if promise.bind_when is BindWhen.IMMEDIATELY else promise.bind_when.name}",
    )


def _taint_pb(taint: Taint) -> pb.Taint:
    return pb.Taint(key=taint.key, value=taint.value, effect=taint.effect)


def _slot_pb(slot: Slot) -> pb.Slot:
    return pb.Slot(owner=_owner_pb(slot.owner), requests=slot.requests, count=slot.count)


def _owner_pb(owner: Owner) -> pb.Owner:
    return pb.Owner(kind=owner.kind, namespace=owner.namespace, name=owner.name, uid=owner.uid)


def _pod_ref_pb(pod: PodRef) -> pb.PodRef:
    return pb.PodRef(namespace=pod.namespace, name=pod.name, uid=pod.uid)


def _pod_result_pb(result: PodResult) -> pb.PodResult:
    return pb.PodResult(
        pod=_pod_ref_pb(result.pod),
        outcome=_NUMBERS[result.outcome],
        reason=_reason_pb(result.reason),
        sentence=text(result.sentence, _MAX_POD_SENTENCE),
        node=result.node,
    )


# --- parts ---


def _position(position: pb.Position, field: str) -> Position:
    need(position.epoch >= 0 and position.sequence >= 0, field, "must not be negative")
    return Position(position.epoch, position.sequence)


def _position_pb(position: Position) -> pb.Position:
    return pb.Position(epoch=position.epoch, sequence=position.sequence)


def _outcome(number: int, field: str) -> Outcome:
    """A newer pinner may send other outcomes.

    Whether one is final is unknown, so the next acknowledgement is awaited.
    """
    need(number > 0, field, f"{number} is not an outcome")
    return _OUTCOMES.get(number, Outcome.ACCEPTED)


def _reason(number: int) -> ReasonCode:
    """A newer pinner may send unknown reasons. Its sentence explains them."""
    return _REASONS.get(number, ReasonCode.INTERNAL)


def _reason_pb(reason: ReasonCode) -> str:
    return f"REASON_CODE_{reason.name}"
