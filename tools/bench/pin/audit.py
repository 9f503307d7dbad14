"""When pods were bound, from the API server's audit log."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from tools.bench.common.errors import BenchError

_AT_REST = 2.5
"""Seconds without a write; what the pinner puts off, it puts off by one."""
_COMPLETE = "ResponseComplete"
_LONGEST = 1 << 20
"""Bytes of a line at most."""


class _Reference(msgspec.Struct, frozen=True):
    resource: str = ""
    subresource: str = ""


class _Status(msgspec.Struct, frozen=True):
    code: int = 0


class _Entry(msgspec.Struct, frozen=True, rename="camel"):
    stage: str
    verb: str
    request_received_timestamp: datetime
    stage_timestamp: datetime
    object_ref: _Reference | None = None
    response_status: _Status = _Status()


_decode = msgspec.json.Decoder(_Entry).decode


@dataclass(frozen=True, slots=True)
class Request:
    """One answered request; moments in seconds since 1970."""

    kind: str
    asked: float
    answered: float
    code: int

    @property
    def bound(self) -> bool:
        """Whether it bound a pod."""
        return self.kind == "create pods/binding" and 200 <= self.code < 300


@dataclass(frozen=True)
class Bindings:
    """All successful bindings of a stretch of the log; moments in seconds since 1970.

    Attributes:
        count: how many.
        first: when the first was asked for.
        last: when the last was answered.
        writes: requests that were answered between, by what they did.
    """

    count: int
    first: float
    last: float
    writes: dict[str, int]


class AuditLog:
    """The log from here on.

    Args:
        path: of a log that is not rotated.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.skip()

    def skip(self) -> None:
        """Forget everything up to now."""
        self._offset = self._end()

    async def rest(self, patience: float = 120.0) -> None:
        """Return once nobody writes any more, but for Leases, which are renewed for ever.

        Raises:
            BenchError: somebody still does after so many seconds.
        """
        deadline = time.monotonic() + patience
        while True:
            before = self._end()
            await asyncio.sleep(_AT_REST)
            with self._path.open("rb") as file:
                file.seek(before)
                kinds = {request.kind for request in requests(file)}
            busy = sorted(kind for kind in kinds if not kind.endswith(" leases"))
            if not busy:
                return
            if time.monotonic() > deadline:
                raise BenchError(f"the API server was not at rest after {patience:g} s: {', '.join(busy)}")

    def _end(self) -> int:
        """Where the last complete line ends: the server may be in the middle of writing one."""
        with self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LONGEST))
            tail = file.read(_LONGEST)
        return size - len(tail) + tail.rfind(b"\n") + 1

    def bindings(self) -> Bindings:
        """All since the last `skip`."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            return summary(requests(file))


def requests(lines: Iterable[bytes]) -> Iterator[Request]:
    """The writes among some lines of an audit log; the last line may be incomplete."""
    for line in lines:
        if not line.endswith(b"\n"):
            return
        entry = _decode(line)
        if entry.stage != _COMPLETE or entry.object_ref is None or entry.verb in ("get", "list", "watch"):
            continue
        where = "/".join(part for part in (entry.object_ref.resource, entry.object_ref.subresource) if part)
        asked, answered = entry.request_received_timestamp.timestamp(), entry.stage_timestamp.timestamp()
        yield Request(f"{entry.verb} {where}", asked, answered, entry.response_status.code)


def summary(found: Iterable[Request]) -> Bindings:
    """What the requests come to."""
    every = list(found)
    bound = [request for request in every if request.bound]
    if not bound:
        return Bindings(0, 0.0, 0.0, {})
    first, last = min(request.asked for request in bound), max(request.answered for request in bound)
    between = Counter(request.kind for request in every if first <= request.answered <= last)
    return Bindings(len(bound), first, last, dict(between))
