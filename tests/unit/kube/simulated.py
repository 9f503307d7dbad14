"""A clock that moves only when a test says so, and a small API server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec

from moorage.kube.clock import ServerClock
from moorage.kube.errors import ApiError, ConnectionLost, Silent, Status, from_status

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)


class Time:
    """A monotonic clock with a ``sleep`` that belongs to it."""

    def __init__(self) -> None:
        self.now = 100.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + max(seconds, 0.0), future))
        await future

    async def advance(self, seconds: float = 0.0, *, each: Callable[[], None] = lambda: None) -> None:
        """Let time pass, waking sleepers in order; ``each`` is called at every moment at which something happens."""
        end = self.now + seconds
        await settle()
        while due := sorted((s for s in self._sleepers if s[0] <= end and not s[1].done()), key=lambda s: s[0]):
            self.now = max(self.now, due[0][0])
            each()
            due[0][1].set_result(None)
            self._sleepers = [s for s in self._sleepers if not s[1].done()]
            await settle()
            each()
        self.now = end
        each()


async def settle() -> None:
    """Let every task run until it waits for something."""
    for _ in range(40):
        await asyncio.sleep(0)


class Server:
    """Objects by path with resourceVersions, as in kube-apiserver. It records requests."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.objects: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self._version = 0

    def handle(self, method: str, path: str, body: bytes | None) -> bytes:
        self.requests.append((method, path))
        sent: dict[str, Any] = msgspec.json.decode(body) if body else {}
        if body:
            self.bodies.append(sent)
        if method == "POST":
            path = f"{path}/{sent['metadata']['name']}"
            if path in self.objects:
                raise refusal(409, "AlreadyExists", "already exists")
        elif path not in self.objects:
            raise refusal(404, "NotFound", f"{path} not found")
        if method == "PUT":
            known = self.objects[path]["metadata"]["resourceVersion"]
            if sent["metadata"].get("resourceVersion", known) != known:
                raise refusal(409, "Conflict", "the object has been modified; please apply your changes")
        if method == "PATCH":
            sent = {**self.objects[path], **sent}
        if method != "GET":
            self.store(path, sent)
        return msgspec.json.encode(self.objects[path])

    def store(self, path: str, value: Mapping[str, Any]) -> None:
        self._version += 1
        metadata = {**value.get("metadata", {}), "resourceVersion": str(self._version)}
        self.objects[path] = {**value, "metadata": metadata}

    def date(self) -> str:
        return format_datetime(EPOCH + timedelta(seconds=self.time.now), usegmt=True)


class Link:
    """A ``Requester``: one client's way to the server, which can be cut, be slow, lose answers or meet refusals.

    Attributes:
        swallows: the number of requests that are not answered, and of which the server learns nothing.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.clock = ServerClock(server.time.monotonic)
        self.cut = False
        self.swallows = 0
        self.loses_answers = False
        self.delay_there = 0.0
        self.delay_back = 0.0
        self.refusals: list[Exception] = []
        self.sends_date = True

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,  # noqa: ARG002
        body: bytes | None = None,
        content_type: str = "application/json",  # noqa: ARG002
        timeout: float = 30.0,
    ) -> bytes:
        time = self.server.time
        sent = time.now
        await asyncio.sleep(0)
        if self.cut:
            raise ConnectionLost(f"{method} {path}: connection refused")
        if self.swallows:
            self.swallows -= 1
            await time.sleep(timeout)
            raise Silent(f"{method} {path}: no answer within the time limit")
        if self.delay_there:
            await time.sleep(self.delay_there)
        try:
            if self.refusals:
                raise self.refusals.pop(0)
            answer = self.server.handle(method, path, body)
        finally:
            if self.sends_date:
                self.clock.observe(self.server.date(), sent, time.now)
        if self.delay_back:
            await time.sleep(self.delay_back)
        if self.loses_answers:
            raise ConnectionLost(f"{method} {path}: connection reset")
        return answer


def refusal(code: int, reason: str, message: str, retry_after: float | None = None) -> ApiError:
    return from_status(code, Status(message=message, reason=reason, code=code), request="test", retry_after=retry_after)
