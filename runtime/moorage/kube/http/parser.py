"""Reads HTTP/1.1 answers (RFC 9112) from whatever pieces the network delivers. No I/O.

The grammar is llhttp's (httptools). Strict where lenience would let one answer be taken for another: what is not an
answer ends the connection.
"""

from __future__ import annotations

from dataclasses import dataclass

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

MAX_HEAD = 64 << 10
"""Bytes of a status line and its headers, and of anything else that is no body."""
MAX_BODY = 128 << 20
"""Bytes of a body: far more than a page of any list, and less than what a pod may use."""

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
    """

    status: int
    headers: dict[str, str]
    kept: bool


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

    __slots__ = (
        "_beyond",
        "_bodiless",
        "_endless",
        "_headers",
        "_parser",
        "_pieces",
        "_problem",
        "_unread",
        "head",
        "untouched",
        "waiting",
        "whole",
    )

    def __init__(self, *, bodiless: bool = False, endless: bool = False) -> None:
        self.head: Head | None = None
        self.whole = False
        self.waiting = 0
        self.untouched = True
        self._bodiless = bodiless
        self._endless = endless
        self._parser = HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._pieces: list[bytes] = []
        self._unread = 0  # bytes since the last piece of the body
        self._beyond = False  # bytes have come that belong to no answer
        self._problem = ""

    def feed(self, data: bytes) -> bool:
        """Take what has come; returns whether the answer is whole.

        Raises:
            BadAnswer: it is none.
        """
        self.untouched = False
        self._unread += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self.whole:
                raise BadAnswer(self._problem or f"what came is not HTTP: {error}") from None
            self._beyond = True
        if self._unread > MAX_HEAD and not self.whole:
            raise BadAnswer("the answer's headers are too long")
        return self.whole

    def end(self) -> None:
        """The connection has ended.

        Raises:
            BadAnswer: that is not how the answer was to end.
        """
        if self.head is None or not _ends_with_connection(self.head):
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
        del self._parser  # it refers to us: nobody need search for such a ring
        return Answer(self.head.status, self.head.headers, self.take(), kept)

    # --- what the parser calls; an error that one of them raises ends up in `feed` ---

    def on_message_begin(self) -> None:
        """An answer begins: the first one, the one after an announcement, or one that nobody has asked for."""
        self._beyond = self._beyond or self.whole

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a line after the last chunk."""
        if self.head is not None:
            return
        known = name.decode("latin-1").lower()
        if known in _ONCE and known in self._headers:
            raise self._bad(f"the answer has two headers {known}")
        self._headers[known] = value.decode("latin-1").strip(" \t")

    def on_headers_complete(self) -> None:
        """All headers have come."""
        status, headers = self._parser.get_status_code(), self._headers
        if status < 200:  # it only announces the answer
            headers.clear()
            return
        if self.whole:
            return
        coding = headers.get("transfer-encoding")
        if coding is not None and coding.lower() != "chunked":
            raise self._bad(f"the answer comes as {coding!r}, which was not asked for")
        self._check(int(headers.get("content-length") or 0))
        self.head = Head(status, headers, self._parser.should_keep_alive())
        self.whole = self._bodiless

    def on_body(self, piece: bytes) -> None:
        """A piece of the body."""
        if self.whole:
            self._beyond = True
            return
        self._unread = 0
        self._check(self.waiting + len(piece))
        self._pieces.append(piece)
        self.waiting += len(piece)

    def on_message_complete(self) -> None:
        """The answer, or an announcement of it, is over."""
        self.whole = self.head is not None

    # --- pieces ---

    def _check(self, size: int) -> None:
        if not self._endless:
            try:
                check_size(size)
            except BadAnswer as error:
                raise self._bad(str(error)) from None

    def _bad(self, problem: str) -> BadAnswer:
        """What is wrong, remembered: the parser tells its caller only that a callback has failed."""
        self._problem = problem
        return BadAnswer(problem)


def check_size(size: int) -> None:
    """Whether a body may be so large.

    Raises:
        BadAnswer: it may not.
    """
    if size > MAX_BODY:
        raise BadAnswer(f"the answer is larger than {MAX_BODY >> 20} MiB")


def _ends_with_connection(head: Head) -> bool:
    """Whether nothing else says where the body ends (RFC 9112, 6.3)."""
    return not _ONCE & head.headers.keys()
