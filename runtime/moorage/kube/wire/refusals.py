"""Converts the response of a refused request into the matching error. No I/O."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from moorage.kube.errors import UNREADABLE, ApiError, Status, from_status

from . import envelope, lenient, messages

_status = msgspec.json.Decoder(Status)


def decode_status(body: bytes, code: int) -> Status:
    """Decode the body of a refusal, JSON or protobuf. The headers are ignored.

    If the body is not a Status (a proxy's page or JSON), its first 200 characters become the message.
    """
    try:
        if body.startswith(envelope.MAGIC):
            return envelope.read_status(body, Status)
        status = lenient.decode(body, _status)
    except (*UNREADABLE, *messages.UNREADABLE):
        status = Status()
    if status.message or status.reason:
        return status
    text = body[:200].decode("utf-8", "replace").strip()
    return Status(message=text or "no message", reason=f"HTTP {code}", code=code, details=status.details)


def from_response(code: int, headers: Mapping[str, str], body: bytes, *, request: str) -> ApiError:
    """Create the error for a refused request.

    Args:
        code: HTTP status, 400 or above.
        headers: response headers; ``Retry-After`` in seconds is honoured (the API server sends no dates).
        body: response body, normally a ``metav1.Status``.
        request: method and path, for messages.
    """
    status = decode_status(body, code)
    return from_status(code, status, request=request, retry_after=_retry_after(headers, status))


def _retry_after(headers: Mapping[str, str], status: Status) -> float | None:
    text = headers.get("Retry-After") or headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return float(min(int(text[:9]), 3600))
    if status.details and status.details.retry_after_seconds > 0:
        return float(min(status.details.retry_after_seconds, 3600))
    return None
