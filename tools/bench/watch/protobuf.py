"""Splits and builds an API server's protobuf messages, so that events can be replayed with later versions.

It does not use the decoder of ``moorage.kube``, because the benchmark measures that. It knows only the wire format and
the numbers of the few fields on the path to an object's resourceVersion.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = b"k8s\0"
_VARINT, _BYTES = 0, 2
# Field numbers: WatchEvent.object, RawExtension.raw, Unknown.raw, Pod.metadata, ObjectMeta.resourceVersion.
_EVENT_OBJECT, _EXTENSION_RAW, _UNKNOWN_RAW, _METADATA, _VERSION = 2, 1, 2, 1, 6
_LIST_ITEMS, _LIST_VERSION, _LIST_CONTINUE = 2, 2, 3


def fields(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """The fields of a message: number, start of the tag, start of the value, and end.

    Raises:
        ValueError: a field of a type that API servers do not send.
    """
    at = 0
    while at < len(data):
        begin = at
        tag, at = _read(data, at)
        if tag & 7 == _BYTES:
            length, at = _read(data, at)
            yield tag >> 3, begin, at, at + length
            at += length
        elif tag & 7 == _VARINT:
            value = at
            _, at = _read(data, at)
            yield tag >> 3, begin, value, at
        else:
            raise ValueError(f"field {tag >> 3} is of type {tag & 7}")


def unwrap(data: bytes) -> bytes:
    """The object in its envelope."""
    return _cut(data[len(MAGIC) :], _UNKNOWN_RAW)[1]


def items(body: bytes) -> list[bytes]:
    """The objects of a page."""
    page = unwrap(body)
    return [page[value:end] for number, _, value, end in fields(page) if number == _LIST_ITEMS]


def next_page(body: bytes) -> str:
    """The continue token of a page. Empty on the last page."""
    meta = _cut(unwrap(body), _METADATA)[1]
    return "".join(meta[value:end].decode() for number, _, value, end in fields(meta) if number == _LIST_CONTINUE)


def page(kind: str, version: str, token: str, objects: list[bytes]) -> bytes:
    """A page of a list as the API server sends it."""
    meta = _field(_LIST_VERSION, version.encode()) + _field(_LIST_CONTINUE, token.encode())
    body = _field(_METADATA, meta) + b"".join(_field(_LIST_ITEMS, each) for each in objects)
    name = _field(1, b"v1") + _field(2, f"{kind}List".encode())
    return MAGIC + _field(1, name) + _field(_UNKNOWN_RAW, body)


@dataclass(frozen=True)
class Frame:
    """An event of a watch, split at the object's resourceVersion.

    Attributes:
        version: as recorded.
        around: the bytes before and after it on each level, from the event to the metadata.
        flat: the bytes before and after it in the whole frame, for versions with the same number of digits.
    """

    version: int
    around: tuple[tuple[bytes, bytes], ...]
    flat: tuple[bytes, bytes]

    @classmethod
    def parse(cls, frame: bytes) -> Frame:
        """Split a frame, including its length."""
        data, around, at = frame[4:], [], 4
        for number in (_EVENT_OBJECT, _EXTENSION_RAW, _UNKNOWN_RAW, _METADATA, _VERSION):
            magic = MAGIC if data.startswith(MAGIC) else b""
            before, inner, after = _cut(data[len(magic) :], number)
            before = magic + before + _varint(number << 3 | _BYTES)
            around.append((before, after))
            at += len(before) + len(_varint(len(inner)))
            data = inner
        return cls(int(data), tuple(around), (frame[:at], frame[at + len(data) :]))

    def told(self, version: int) -> bytes:
        """The frame with another version."""
        data = b"%d" % version
        if len(data) == len(str(self.version)):
            return data.join(self.flat)
        for before, after in reversed(self.around):
            data = b"".join((before, _varint(len(data)), data, after))
        return len(data).to_bytes(4, "big") + data


def _cut(data: bytes, number: int) -> tuple[bytes, bytes, bytes]:
    """The bytes before the first field of this number, its value, and the bytes after it."""
    for found, begin, value, end in fields(data):
        if found == number:
            return data[:begin], data[value:end], data[end:]
    raise ValueError(f"no field {number} in {data[:80]!r}")


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def _read(data: bytes, at: int) -> tuple[int, int]:
    """A varint and its end."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
