"""The times at which pods were bound, from the API server's audit log."""

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
"""Seconds without a write after which the API server is at rest: the pinner delays writes by at most one second."""
_COMPLETE = "ResponseComplete"
_LONGEST = 1 << 20
"""Largest line, in bytes."""


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
    """An answered request. Times are seconds since 1970."""

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
    """All successful bindings of a part of the log. Times are seconds since 1970.

    Attributes:
        count: number of bindings.
        first: time of the first request.
        last: time of the last answer.
        writes: number of requests answered in between, by kind.
    """

    count: int
    first: float
    last: float
    writes: dict[str, int]


class AuditLog:
    """Reads the log from this point on.

    Args:
        path: a log that is not rotated.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.skip()

    def skip(self) -> None:
        """Skip everything up to now."""
        self._offset = self._end()

    async def rest(self, patience: float = 120.0) -> None:
        """Return once there are no writes except Leases, which are renewed for ever.

        Raises:
            BenchError: there still are after so many seconds.
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
        """The end of the last complete line: the server may be writing another one."""
        with self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LONGEST))
            tail = file.read(_LONGEST)
        return size - len(tail) + tail.rfind(b"\n") + 1

    def bindings(self) -> Bindings:
        """All bindings since the last `skip`."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            return summary(requests(file))


def requests(lines: Iterable[bytes]) -> Iterator[Request]:
    """The writes in some lines of an audit log. The last line may be incomplete."""
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
    """The bindings and other writes among the requests."""
    every = list(found)
    bound = [request for request in every if request.bound]
    if not bound:
        return Bindings(0, 0.0, 0.0, {})
    first, last = min(request.asked for request in bound), max(request.answered for request in bound)
    between = Counter(request.kind for request in every if first <= request.answered <= last)
    return Bindings(len(bound), first, last, dict(between))
