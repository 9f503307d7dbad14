"""Parses HTTP/1.1 responses (RFC 9112) with llhttp (httptools). No I/O.

The parser is strict: a byte that is not part of a valid response ends the connection, so that one response is never
read as another.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

MAX_HEAD = 64 << 10
"""Largest size, in bytes, of a status line with its headers, and of anything else outside the body."""
MAX_BODY = 128 << 20
"""Largest size of a body, in bytes. A list page is far smaller, and a pod's memory limit is larger."""

_FRAMING = frozenset(("content-length", "transfer-encoding"))


class BadResponse(ConnectionError):
    """The bytes are not a valid response, or the response is incomplete."""


class PeerGone(ConnectionError):
    """The network reports that the other side is not reachable any more: it acknowledges nothing, or has no route."""


_GONE = frozenset((errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN))


def connection_error(error: Exception | None, peer: str = "the server") -> ConnectionError:
    """The error for a caller whose connection ended.

    Args:
        error: what the event loop reports; None when the peer closed the connection.
        peer: the name of the other side, for the message.
    """
    if isinstance(error, ConnectionError) and str(error):
        return error
    if isinstance(error, OSError) and error.errno in _GONE:
        return PeerGone(f"{peer} is not reachable any more: {os.strerror(error.errno)}")
    if error is None:
        return BadResponse(f"{peer} closed the connection")
    return BadResponse(str(error) or f"the connection to {peer} ended: {type(error).__name__}")


@dataclass(slots=True)
class Response:
    """A complete response.

    Attributes:
        status: the status code.
        headers: by name in lower case. The last value wins when a name is repeated.
        body: the whole body.
        keep_alive: whether the connection accepts another request.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    keep_alive: bool


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """Status and headers of a response.

    Attributes:
        status: the status code.
        headers: by name in lower case. The last value wins when a name is repeated.
        keep_alive: whether the connection accepts another request after this response.
    """

    status: int
    headers: dict[str, str]
    keep_alive: bool


class ResponseParser:
    """Parses the response to one request. Each request needs a new parser.

    Args:
        no_body: the response has no body, as after CONNECT.
        unlimited: the body may have any length, because the caller reads it while it arrives.

    Attributes:
        head: status and headers; None until they are complete.
        complete: whether the whole response has arrived.
        buffered: bytes of the body that the caller has not taken yet.
        empty: whether no byte has arrived.
    """

    __slots__ = (
        "_extra_bytes",
        "_headers",
        "_no_body",
        "_parser",
        "_pieces",
        "_problem",
        "_since_body",
        "_unlimited",
        "buffered",
        "complete",
        "empty",
        "head",
    )

    def __init__(self, *, no_body: bool = False, unlimited: bool = False) -> None:
        self.head: ResponseHead | None = None
        self.complete = False
        self.buffered = 0
        self.empty = True
        self._no_body = no_body
        self._unlimited = unlimited
        self._parser = HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._pieces: list[bytes] = []
        self._since_body = 0  # bytes since the last piece of the body
        self._extra_bytes = False  # bytes arrived after the end of the response
        self._problem = ""

    def feed(self, data: bytes) -> bool:
        """Parse received bytes and return whether the response is complete.

        Raises:
            BadResponse: the bytes are not a valid response.
        """
        self.empty = False
        self._since_body += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self.complete:
                raise BadResponse(self._problem or f"the response is not valid HTTP: {error}") from None
            self._extra_bytes = True
        if self._since_body > MAX_HEAD and not self.complete:
            raise BadResponse("the response's headers are too long")
        return self.complete

    def end(self) -> None:
        """Handle the end of the connection.

        Raises:
            BadResponse: the response is incomplete.
        """
        if self.head is None or not _ends_with_connection(self.head):
            raise BadResponse("the server closed the connection before its answer was complete")
        self.complete = True

    def take_body(self) -> bytes:
        """Return the part of the body that arrived since the last call."""
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.buffered = 0
        return body

    def response(self) -> Response:
        """Return the response. Call this once, when ``complete`` is set."""
        assert self.head is not None  # noqa: S101 - the response is complete
        # No request of ours expects bytes after the response, so the connection is not used again.
        keep_alive = self.head.keep_alive and not self._extra_bytes
        del self._parser  # the parser refers to this object: without the cycle, no garbage collection is needed
        return Response(self.head.status, self.head.headers, self.take_body(), keep_alive)

    # --- callbacks of httptools; an exception that one of them raises ends up in `feed` ---

    def on_message_begin(self) -> None:
        """A message begins: the response, a response after a 1xx, or an unexpected one."""
        self._extra_bytes = self._extra_bytes or self.complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer after the last chunk. Trailers are ignored."""
        if self.head is not None:
            return
        key = name.decode("latin-1").lower()
        if key in _FRAMING and key in self._headers:
            raise self._bad(f"the response has two headers {key}")
        self._headers[key] = value.decode("latin-1").strip(" \t")

    def on_headers_complete(self) -> None:
        """All headers have arrived."""
        status, headers = self._parser.get_status_code(), self._headers
        if status < 200:  # an interim response: the final one follows
            headers.clear()
            return
        if self.complete:
            return
        coding = headers.get("transfer-encoding")
        if coding is not None and coding.lower() != "chunked":
            raise self._bad(f"the response has the unsupported transfer encoding {coding!r}")
        self._check_size(int(headers.get("content-length") or 0))
        self.head = ResponseHead(status, headers, self._parser.should_keep_alive())
        self.complete = self._no_body

    def on_body(self, piece: bytes) -> None:
        """A piece of the body has arrived."""
        if self.complete:
            self._extra_bytes = True
            return
        self._since_body = 0
        self._check_size(self.buffered + len(piece))
        self._pieces.append(piece)
        self.buffered += len(piece)

    def on_message_complete(self) -> None:
        """A message is complete: the response, or a 1xx before it."""
        self.complete = self.head is not None

    def _check_size(self, size: int) -> None:
        if not self._unlimited:
            try:
                check_body_size(size)
            except BadResponse as error:
                raise self._bad(str(error)) from None

    def _bad(self, problem: str) -> BadResponse:
        """Keep the reason: httptools only reports that a callback failed."""
        self._problem = problem
        return BadResponse(problem)


def check_body_size(size: int) -> None:
    """Check the size of a body against ``MAX_BODY``.

    Raises:
        BadResponse: the body is too large.
    """
    if size > MAX_BODY:
        raise BadResponse(f"the response is larger than {MAX_BODY >> 20} MiB")


def _ends_with_connection(head: ResponseHead) -> bool:
    """Whether the body ends with the connection, because no header gives its length (RFC 9112, 6.3)."""
    return not _FRAMING & head.headers.keys()
