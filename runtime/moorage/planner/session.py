"""The session of one pinner: which messages it gets, in which order, and how many at a time."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from moorage.protocol import (
    Ack,
    Heartbeat,
    Hello,
    Instruction,
    NodeReports,
    Position,
    ServerMessage,
    SnapshotEnd,
    Welcome,
)

from .instruction_store import InstructionStore

logger = logging.getLogger(__name__)

WINDOW = 256
"""The number of unacknowledged instructions when the pinner names no window."""
CONFIRM_EVERY = 64
"""The number of acknowledgements after which their receipt is confirmed at once."""

Send = Callable[[ServerMessage], Awaitable[None]]


class StalePlanner(Exception):
    """A planner that was started later has served the pinner."""


class Session:
    """The session of one pinner.

    Args:
        store: the instructions.
        hello: the pinner's first message.
        send: sends a message; waits while the connection is full.
        heartbeat: seconds between two heartbeats.

    Raises:
        StalePlanner: a newer planner has served the pinner.
    """

    def __init__(self, store: InstructionStore, hello: Hello, send: Send, *, heartbeat: float) -> None:
        if hello.position.epoch > store.epoch and not store.outrun(hello.position.epoch):
            raise StalePlanner(
                f"replica {hello.replica} was served epoch {hello.position.epoch} by a planner that was started after "
                f"this one (epoch {store.epoch}). Start this planner again to have its plan carried out"
            )
        self._store = store
        self._hello = hello
        self._send = send
        self._heartbeat = heartbeat
        self._window = hello.window or WINDOW
        self._wake = asyncio.Event()
        self._epoch = 0  # of the last Welcome
        self._cursor = 0  # everything up to this sequence was sent, or need not be
        self._snapshot: deque[Instruction] | None = None
        self._snapshot_size = 0
        self._unanswered: set[str] = set()
        self._acknowledged = 0
        self._confirmed = 0
        store.join(hello.cluster_id)

    def received(self, ack: Ack) -> None:
        """Handle an acknowledgement."""
        self._acknowledged += 1
        instruction = self._store.record(self._hello.cluster_id, ack)
        if instruction is not None:
            self._unanswered.discard(instruction.id)
        else:
            fields = {"instruction": ack.instruction_id, "epoch": ack.position.epoch, "outcome": ack.outcome.value}
            logger.debug("acknowledgement of nothing that is served", extra=fields)
        self._wake.set()

    def reported(self, reports: NodeReports) -> None:
        """Handle reports of nodes."""
        self._store.reports.update(self._hello.cluster_id, reports)

    async def run(self) -> None:
        """Send messages until cancelled."""
        with self._store.reports.connected(self._hello.cluster_id):
            await self._run()

    async def _run(self) -> None:
        unsubscribe = self._store.subscribe(self._wake.set)
        loop = asyncio.get_running_loop()
        beat_at = loop.time() + self._heartbeat
        try:
            while True:
                self._wake.clear()
                if self._epoch != self._store.epoch:
                    await self._welcome()
                await self._catch_up()
                if loop.time() >= beat_at or self._acknowledged - self._confirmed >= CONFIRM_EVERY:
                    await self._beat()
                    beat_at = loop.time() + self._heartbeat
                await self._sleep(beat_at - loop.time())
        finally:
            unsubscribe()

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _welcome(self) -> None:
        """Start an epoch: continue at the pinner's position if it is in this epoch, else send a snapshot."""
        store, wanted = self._store, self._hello.position
        resume = self._epoch == 0 and wanted.epoch == store.epoch and wanted.sequence <= store.high
        self._epoch = store.epoch
        self._unanswered.clear()
        if resume:
            self._snapshot = None
            self._cursor = wanted.sequence
        else:
            self._snapshot = deque(store.unfinished(self._hello.cluster_id))
            self._snapshot_size = 0
            self._cursor = store.high
        position = wanted if resume else Position(self._epoch, 0)
        await self._send(Welcome(position, not resume, store.plan, self._heartbeat))

    async def _catch_up(self) -> None:
        """Send instructions while the window has room and the epoch is the same."""
        store = self._store
        while self._epoch == store.epoch and len(self._unanswered) < self._window:
            if self._snapshot:
                self._snapshot_size += 1
                await self._instruct(self._snapshot.popleft())
            elif self._snapshot is not None:
                self._snapshot = None
                await self._send(SnapshotEnd(Position(self._epoch, self._cursor), self._snapshot_size))
            elif self._cursor < store.high:
                self._cursor += 1
                await self._instruct(store.at(self._cursor))
            else:
                return

    async def _instruct(self, instruction: Instruction) -> None:
        self._unanswered.add(instruction.id)
        await self._send(instruction)

    async def _beat(self) -> None:
        self._confirmed = self._acknowledged
        await self._send(Heartbeat(Position(self._epoch, self._cursor), self._confirmed))
