"""Reads HTTP/1.1 answers (RFC 9112) from whatever pieces the network delivers. No I/O.

Strict where lenience would let one answer be taken for another: what is not an answer ends the connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_HEAD = 64 << 10
"""Bytes of a status line and its headers."""
MAX_BODY = 128 << 20
"""Bytes of a body: far more than a page of any list, and less than what a pod may use."""

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?")
_FIELDS = re.compile(rb"(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n]*)*")
_DIGITS = re.compile(r"[0-9]{1,18}")
_END = b"\r\n\r\n"
# What announces a chunk, with the end of the line before it (of the head, or of another chunk); and its beginning.
_CHUNK = re.compile(rb"\r\n([0-9A-Fa-f]{1,15})[ \t]{0,9}(?:;[^\r\n]{0,900})?\r\n")
_CHUNK_BEGUN = re.compile(rb"\r(?:\n(?:[0-9A-Fa-f]{1,15}[ \t]{0,9}(?:;[^\r\n]{0,900})?\r?)?)?")
_ONCE = frozenset(("content-length", "transfer-encoding"))


class BadAnswer(ConnectionError):
    """What came is no answer, or not all of one."""


def ended(error: Exception | None, who: str = "the server") -> ConnectionError:
    """What whoever waits on a connection is told when it is no more.

    Args:
        error: why, as the event loop says it; None when the other side has closed it.
        who: the other side.
    """
    if isinstance(error, ConnectionError):
        return error
    return BadAnswer(str(error) if error else f"{who} closed the connection")


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


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the body.

    Attributes:
        status: its code.
        headers: by name in lower case; of several with one name the last.
        kept: whether the connection takes another request after it.
        chunked: whether the body comes in chunks.
        length: of another body, in bytes; None when it ends with the connection.
    """

    status: int
    headers: dict[str, str]
    kept: bool
    chunked: bool
    length: int | None


class Reader:
    """Reads the answer to one request; for the next one there is another reader.

    Args:
        bodiless: whether a body is neither expected nor waited for, as after CONNECT.
        endless: whether the body may have any length, because it is taken while it comes.

    Attributes:
        head: status and headers, once they have come.
        whole: whether all of it has come.
        waiting: bytes of the body that were not taken.
        untouched: whether not a single byte has come.
    """

    def __init__(self, *, bodiless: bool = False, endless: bool = False) -> None:
        self.head: Head | None = None
        self.whole = False
        self.waiting = 0
        self.untouched = True
        self._bodiless = bodiless
        self._endless = endless
        self._held = b""  # of the head or between chunks: the beginning of what makes no sense yet
        self._left: int | None = 0  # bytes until the end of the chunk or body; None: all until the connection ends
        self._pieces: list[bytes] = []
        self._beyond = False  # bytes have come that belong to no answer

    def feed(self, data: bytes) -> bool:
        """Take what has come; returns whether the answer is whole.

        Raises:
            BadAnswer: it is none.
        """
        self.untouched = False
        if self._held:
            data, self._held = self._held + data, b""
        at = 0
        if self.head is None:
            at = self._read_head(data)
        if self.head is not None:
            at = self._read_chunks(data, at) if self.head.chunked else self._read_plain(data, at)
            self._beyond = self.whole and at < len(data)
        return self.whole

    def end(self) -> None:
        """The connection has ended.

        Raises:
            BadAnswer: that is not how the answer was to end.
        """
        if self.head is None or self._left is not None:
            raise BadAnswer("the server closed the connection before its answer was complete")
        self.whole = True

    def take(self) -> bytes:
        """What has come of the body since the last time."""
        pieces = self._pieces
        found = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.waiting = 0
        return found

    def answer(self) -> Answer:
        """The answer, once it is whole, with what was not taken of its body."""
        assert self.head is not None  # noqa: S101 - it is whole
        # Bytes beyond the answer belong to no request of ours: nothing more is believed from that connection.
        kept = self.head.kept and not self._beyond
        return Answer(self.head.status, self.head.headers, self.take(), kept)

    def _read_head(self, data: bytes) -> int:
        """Read the head; returns where the body begins."""
        at = 0
        while True:
            end = data.find(_END, at)
            if (end if end >= 0 else len(data)) - at > MAX_HEAD:
                raise BadAnswer("the answer's headers are too long")
            if end < 0:
                self._held = data[at:]
                return len(data)
            head = _parse(data[at:end])
            if head.status >= 200:  # what comes before only announces it
                return end + self._begin(head)
            at = end + len(_END)

    def _begin(self, head: Head) -> int:
        """Expect the body; returns how many bytes after the headers it begins."""
        self.head = head
        if self._bodiless:
            self.whole = True
        elif head.chunked:
            return 2  # a chunk begins with the end of the line before
        else:
            self._left = head.length
            self._check(head.length or 0)
        return len(_END)

    def _read_plain(self, data: bytes, at: int) -> int:
        if not self.whole:
            at = self._read_piece(data, at)
            self.whole = self._left == 0
        return at

    def _read_chunks(self, data: bytes, at: int) -> int:
        while at < len(data) and not self.whole:
            if self._left:
                at = self._read_piece(data, at)
                continue
            line = _CHUNK.match(data, at)
            if line is None:
                return self._hold(data, at)
            self._left = int(line[1], 16)
            if self._left == 0:
                return self._read_trailer(data, at, line.end() - 2)
            self._check(self._left)
            at = line.end()
        return at

    def _read_piece(self, data: bytes, at: int) -> int:
        """Take from the body what there is; returns where that ends."""
        piece = data[at:] if self._left is None else data[at : at + self._left]
        if self._left is None:
            self._check(len(piece))
        else:  # what may come was looked at when it was announced
            self._left -= len(piece)
        if piece:
            self._pieces.append(piece)
            self.waiting += len(piece)
        return at + len(piece)

    def _read_trailer(self, data: bytes, chunk: int, at: int) -> int:
        """The lines after the last chunk, normally none; nobody reads them."""
        end = data.find(_END, at)
        if end >= 0:
            self.whole = True
            return end + len(_END)
        if len(data) - at > MAX_HEAD:
            raise BadAnswer("the answer's trailer is too long")
        self._held = data[chunk:]
        return len(data)

    def _hold(self, data: bytes, at: int) -> int:
        """Keep what may become the beginning of a chunk."""
        if _CHUNK_BEGUN.fullmatch(data, at) is None:
            raise BadAnswer("the answer has a chunk without a size, or one that is not as long as it says")
        self._held = data[at:]
        return len(data)

    def _check(self, more: int) -> None:
        if not self._endless:
            check_size(self.waiting + more)


def check_size(size: int) -> None:
    """Whether a body may be so large.

    Raises:
        BadAnswer: it may not.
    """
    if size > MAX_BODY:
        raise BadAnswer(f"the answer is larger than {MAX_BODY >> 20} MiB")


def _parse(head: bytes) -> Head:
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
    return Head(status, headers, kept, chunked, length)


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
