"""Helpers of the wire format that are independent of the messages: times, texts, unknown fields."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

from .messages import Position
from .reasons import ReasonCode

M = TypeVar("M", bound=Message)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ProtocolError(Exception):
    """A message violates the protocol.

    Attributes:
        reason: MALFORMED, UNKNOWN_FIELD or TOO_LARGE.
        field: the path, as in ``instruction.pin_pods.pods[3].uid``; empty for the whole message.
        instruction_id: the id of the instruction, as far as it was decoded.
        position: the position of the instruction, as far as it was decoded.
    """

    def __init__(
        self,
        reason: ReasonCode,
        field: str,
        sentence: str,
        *,
        instruction_id: str = "",
        position: Position = Position(),  # noqa: B008 - immutable
    ) -> None:
        self.reason = reason
        self.field = field
        self.instruction_id = instruction_id
        self.position = position
        super().__init__(f"{field}: {sentence}" if field else sentence)


def parse(kind: type[M], data: bytes) -> M:
    """Parse a message. Raises ProtocolError when the bytes are not one."""
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ProtocolError(ReasonCode.MALFORMED, "", f"not a message of the pinning protocol ({error})") from error
    return message


def need(condition: bool, field: str, sentence: str) -> None:
    """Raise MALFORMED for the field unless the condition holds."""
    if not condition:
        raise ProtocolError(ReasonCode.MALFORMED, field, sentence)


def from_timestamp(stamp: Timestamp, field: str) -> datetime:
    """The time in UTC, to the microsecond."""
    try:
        return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    except OverflowError as error:
        raise ProtocolError(ReasonCode.MALFORMED, field, "is not a time between the years 1 and 9999") from error


def to_timestamp(moment: datetime) -> Timestamp:
    """An aware time, to the microsecond."""
    microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
    return Timestamp(seconds=microseconds // 10**6, nanos=microseconds % 10**6 * 1000)


def to_duration(seconds: float) -> Duration:
    """A length of time in seconds, to the nanosecond."""
    nanos = round(seconds * 1e9)
    return Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)


def text(value: str, limit: int) -> str:
    """A valid string of protobuf: UTF-8, not longer than the limit."""
    return value[:limit].encode("utf-8", "replace").decode("utf-8")


def refuse_unknown(message: Message, path: str) -> None:
    """Raise UNKNOWN_FIELD when a message, or one inside it, has a field that its type lacks."""
    bare = type(message)()
    bare.CopyFrom(message)
    bare.DiscardUnknownFields()
    if bare.ByteSize() != message.ByteSize():
        where = next(_unknown(message, path), path)
        raise ProtocolError(ReasonCode.UNKNOWN_FIELD, where, "this pinner does not know the field")


def _unknown(message: Message, path: str) -> Iterator[str]:
    """The paths of the unknown fields: ``instruction.pin_pods.#7``."""
    fields = UnknownFieldSet(message)
    yield from (f"{path}.#{fields[index].field_number}" for index in range(len(fields)))
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None or descriptor.message_type.GetOptions().map_entry:
            continue
        if isinstance(value, Message):
            yield from _unknown(value, f"{path}.{descriptor.name}")
            continue
        for index, child in enumerate(value):
            yield from _unknown(child, f"{path}.{descriptor.name}[{index}]")
