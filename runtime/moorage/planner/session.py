"""One pinner at the other end of a stream: what it is sent, in which order, and how much at a time."""

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

from .instruction_store import Board

logger = logging.getLogger(__name__)

WINDOW = 256
"""Instructions without any acknowledgement when the pinner names no number of its own."""
CONFIRM_EVERY = 64
"""Acknowledgements after which the pinner is told at once that they have arrived."""

Send = Callable[[ServerMessage], Awaitable[None]]


class StalePlanner(Exception):
    """The pinner has been served by a planner that was started after this one."""


class Session:
    """Serves one pinner.

    Args:
        board: what is to be done.
        hello: the pinner's first message.
        send: sends a message; waits while the connection is full.
        heartbeat: seconds between two signs of life.

    Raises:
        StalePlanner: see there.
    """

    def __init__(self, board: Board, hello: Hello, send: Send, *, heartbeat: float) -> None:
        if hello.position.epoch > board.epoch and not board.outrun(hello.position.epoch):
            raise StalePlanner(
                f"replica {hello.replica} was served epoch {hello.position.epoch} by a planner that was started after "
                f"this one (epoch {board.epoch}). Start this planner again to have its plan carried out"
            )
        self._board = board
        self._hello = hello
        self._send = send
        self._heartbeat = heartbeat
        self._window = hello.window or WINDOW
        self._wake = asyncio.Event()
        self._epoch = 0  # of the last Welcome
        self._cursor = 0  # sequence up to which everything was sent, or need not be
        self._snapshot: deque[Instruction] | None = None
        self._snapshot_size = 0
        self._unanswered: set[str] = set()
        self._acknowledged = 0
        self._confirmed = 0
        board.join(hello.cluster_id)

    def received(self, ack: Ack) -> None:
        """Take note of an acknowledgement."""
        self._acknowledged += 1
        instruction = self._board.record(self._hello.cluster_id, ack)
        if instruction is not None:
            self._unanswered.discard(instruction.id)
        else:
            fields = {"instruction": ack.instruction_id, "epoch": ack.position.epoch, "outcome": ack.outcome.value}
            logger.debug("acknowledgement of nothing that is served", extra=fields)
        self._wake.set()

    def reported(self, reports: NodeReports) -> None:
        """Take note of how it stands with nodes."""
        self._board.reports.take(self._hello.cluster_id, reports)

    async def run(self) -> None:
        """Send what there is to send, until cancelled."""
        with self._board.reports.connected(self._hello.cluster_id):
            await self._run()

    async def _run(self) -> None:
        unsubscribe = self._board.subscribe(self._wake.set)
        loop = asyncio.get_running_loop()
        beat_at = loop.time() + self._heartbeat
        try:
            while True:
                self._wake.clear()
                if self._epoch != self._board.epoch:
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
        """Begin an epoch: go on where the pinner stands if it is the same one, else with a snapshot."""
        board, wanted = self._board, self._hello.position
        resume = self._epoch == 0 and wanted.epoch == board.epoch and wanted.sequence <= board.high
        self._epoch = board.epoch
        self._unanswered.clear()
        if resume:
            self._snapshot = None
            self._cursor = wanted.sequence
        else:
            self._snapshot = deque(board.unfinished(self._hello.cluster_id))
            self._snapshot_size = 0
            self._cursor = board.high
        position = wanted if resume else Position(self._epoch, 0)
        await self._send(Welcome(position, not resume, board.plan, self._heartbeat))

    async def _catch_up(self) -> None:
        """Send instructions while the window has room and nobody begins another epoch."""
        board = self._board
        while self._epoch == board.epoch and len(self._unanswered) < self._window:
            if self._snapshot:
                self._snapshot_size += 1
                await self._instruct(self._snapshot.popleft())
            elif self._snapshot is not None:
                self._snapshot = None
                await self._send(SnapshotEnd(Position(self._epoch, self._cursor), self._snapshot_size))
            elif self._cursor < board.high:
                self._cursor += 1
                await self._instruct(board.at(self._cursor))
            else:
                return

    async def _instruct(self, instruction: Instruction) -> None:
        self._unanswered.add(instruction.id)
        await self._send(instruction)

    async def _beat(self) -> None:
        self._confirmed = self._acknowledged
        await self._send(Heartbeat(Position(self._epoch, self._cursor), self._confirmed))
