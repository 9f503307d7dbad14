"""Reads HTTP/1.1 answers (RFC 9112) from whatever pieces the network delivers. No I/O.

Strict where lenience would let one answer be taken for another: what is not an answer ends the connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_HEAD = 64 << 10
"""Bytes of a status line and its headers."""
MAX_LINE = 1 << 10
"""Bytes of the line that announces a chunk."""
MAX_BODY = 128 << 20
"""Bytes of a body: far more than a page of any list, and less than what a pod may use."""

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?")
_FIELDS = re.compile(rb"(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n]*)*")
_DIGITS = re.compile(r"[0-9]{1,18}")
_HEX = re.compile(rb"[0-9A-Fa-f]{1,15}")
_END = b"\r\n\r\n"
_ONCE = frozenset(("content-length", "transfer-encoding"))


class BadAnswer(ConnectionError):
    """What came is no answer, or not all of one."""


@dataclass(slots=True)
class Answer:
    """One whole answer.

    Attributes:
        status: its code.
        headers: by name in lower case; of several with one name the last.
        body: all of it.
        kept: whether the connection takes another request.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    kept: bool


@dataclass(slots=True)
class _Head:
    """What stands before the body; ``length`` None means that the body ends with the connection."""

    status: int
    headers: dict[str, str]
    kept: bool
    chunked: bool
    length: int | None


class Reader:
    """Reads the answer to one request; for the next one there is another reader."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: _Head | None = None
        self._chunks: list[bytes] = []
        self._chunked = 0  # bytes in them
        self.untouched = True  # whether not a single byte has come

    def feed(self, data: bytes) -> Answer | None:
        """Take what has come; the answer once it is whole.

        Raises:
            BadAnswer: it is none.
        """
        self.untouched = False
        self._buffer += data
        head = self._head or self._read_head()
        if head is None:
            return None
        if head.chunked:
            return self._read_chunks(head)
        check_size(head.length or len(self._buffer))
        if head.length is None or len(self._buffer) < head.length:
            return None
        return self._answer(head, bytes(self._buffer[: head.length]), used=head.length)

    def end(self) -> Answer:
        """The connection has ended: the answer, if that is how it was to end.

        Raises:
            BadAnswer: something is missing.
        """
        head = self._head
        if head is None or head.chunked or head.length is not None:
            raise BadAnswer("the server closed the connection before its answer was complete")
        return self._answer(head, bytes(self._buffer), used=len(self._buffer))

    def _read_head(self) -> _Head | None:
        while True:
            end = self._buffer.find(_END)
            if end > MAX_HEAD or (end < 0 and len(self._buffer) > MAX_HEAD):
                raise BadAnswer("the answer's headers are too long")
            if end < 0:
                return None
            head = _parse(bytes(self._buffer[:end]))
            del self._buffer[: end + len(_END)]
            if head.status >= 200:  # what comes before only announces it
                self._head = head
                return head

    def _read_chunks(self, head: _Head) -> Answer | None:
        buffer = self._buffer
        while True:
            end = buffer.find(b"\r\n", 0, MAX_LINE)
            if end < 0:
                if len(buffer) >= MAX_LINE:
                    raise BadAnswer("the answer has a chunk without a size")
                return None
            size = _size(bytes(buffer[:end]))
            if size == 0:
                return self._read_trailer(head, end)
            check_size(self._chunked + size)
            whole = end + 2 + size + 2
            if len(buffer) < whole:
                return None
            if buffer[whole - 2 : whole] != b"\r\n":
                raise BadAnswer("the answer has a chunk that is not as long as it says")
            self._chunks.append(bytes(buffer[end + 2 : whole - 2]))
            self._chunked += size
            del buffer[:whole]

    def _read_trailer(self, head: _Head, start: int) -> Answer | None:
        """The lines after the last chunk, normally none; nobody reads them."""
        end = self._buffer.find(_END, start)
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise BadAnswer("the answer's trailer is too long")
            return None
        return self._answer(head, b"".join(self._chunks), used=end + len(_END))

    def _answer(self, head: _Head, body: bytes, *, used: int) -> Answer:
        # Bytes beyond the answer belong to no request of ours: nothing more is believed from that connection.
        kept = head.kept and len(self._buffer) == used
        return Answer(head.status, head.headers, body, kept)


def _parse(head: bytes) -> _Head:
    found = _STATUS.match(head)
    if found is None:
        raise BadAnswer("what came is not HTTP")
    if _FIELDS.fullmatch(head, found.end()) is None:
        raise BadAnswer("the answer has a header that is none")
    headers: dict[str, str] = {}
    for line in head[found.end() :].decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        name = name.lower()
        if name in _ONCE and name in headers:
            raise BadAnswer(f"the answer has two headers {name}")
        headers[name] = value.strip(" \t")
    status = int(found[2])
    chunked, length = _framing(status, headers)
    kept = found[1] == b"1" and "close" not in headers.get("connection", "").lower() and (chunked or length is not None)
    return _Head(status, headers, kept, chunked, length)


def _framing(status: int, headers: dict[str, str]) -> tuple[bool, int | None]:
    """Whether the body comes in chunks, and how long it is if not (RFC 9112, 6.3)."""
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None and (coding.lower() != "chunked" or length is not None):
        raise BadAnswer(f"the answer comes as {coding!r}, which was not asked for")
    if status < 200 or status in (204, 304):
        return False, 0
    if coding is not None:
        return True, None
    if length is None:
        return False, None
    if _DIGITS.fullmatch(length) is None:
        raise BadAnswer(f"the answer's length is {length[:40]!r}")
    return False, int(length)


def check_size(size: int) -> None:
    """Whether a body may be so large.

    Raises:
        BadAnswer: it may not.
    """
    if size > MAX_BODY:
        raise BadAnswer(f"the answer is larger than {MAX_BODY >> 20} MiB")


def _size(line: bytes) -> int:
    size = line.partition(b";")[0].strip(b" \t")
    if _HEX.fullmatch(size) is None:
        raise BadAnswer("the answer has a chunk without a size")
    return int(size, 16)
