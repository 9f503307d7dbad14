"""The client of the instruction stream: connected for ever, nothing lost, nothing obeyed twice or too late.

Connections come and go; what was acknowledged and what was received survives them. Each reset is logged with its cause,
and only what a person must repair is a warning, once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeAlias

from prometheus_client import Counter, Gauge

from moorage.kube.backoff import Backoff
from moorage.protocol import (
    Ack,
    Acks,
    CreatePlaceholder,
    DeletePlaceholder,
    ExpectPods,
    Heartbeat,
    Hello,
    Instruction,
    NodeReport,
    Outcome,
    PinPods,
    Position,
    ProtocolError,
    ReasonCode,
    Release,
    ServerMessage,
    SnapshotEnd,
    Webhook,
    Welcome,
    validate,
)

from .connection import Cause, Connection, StreamBroken
from .credentials import Credentials, Lacking
from .credentials import read as read_credentials
from .settings import StreamSettings
from .state import Arrival, Bulletin, Outbox, Tracker

logger = logging.getLogger(__name__)

RESETS = Counter("moorage_stream_resets_total", "Connections to the planner that ended, by why.", ["cause"])
INSTRUCTIONS = Counter(
    "moorage_instructions_total", "Acknowledgements of instructions, by action and outcome.", ["action", "outcome"]
)
CONNECTED = Gauge("moorage_stream_connected", "Whether a planner has welcomed us (1) or not (0).")

STEADY_AFTER = 5.0
"""Seconds for which a stream must have lasted to count as a success: one that ends at once must not be retried fast."""

LASTING_AFTER = 6
"""Failures in a row after which even an unreachable planner is worth a warning."""

FLOOD = 64
"""Windows of unanswered instructions after which a planner keeps none. It keeps the window, and we always read: the
end of a call and a newer epoch must not wait for answers. A planner counts anew with each connection."""

RESET = "failed streaming pod pinning actions, restarting..."
"""The sentence that the seed names; people search for it."""

Received: TypeAlias = Instruction | SnapshotEnd
ProblemHook: TypeAlias = Callable[[Cause, str], None]

_ACTIONS = {
    CreatePlaceholder: "create-placeholder",
    DeletePlaceholder: "delete-placeholder",
    PinPods: "pin-pods",
    ExpectPods: "expect-pods",
    Release: "release",
}


class InstructionStream:
    """Instructions in, acknowledgements out, over as many connections as it takes.

    Args:
        settings: where and how.
        position: up to where everything was received *and acknowledged* before; the default asks for a snapshot, which
            is always safe, because the planner leaves out what was finally acknowledged.
        on_problem: told once about each problem that a person must solve (for an Event): its cause and a sentence.
    """

    def __init__(
        self,
        settings: StreamSettings,
        position: Position = Position(),  # noqa: B008 - immutable
        *,
        on_problem: ProblemHook | None = None,
    ) -> None:
        self._settings = settings
        self._on_problem = on_problem
        self._tracker = Tracker(position)
        self._outbox = Outbox()
        self._bulletin = Bulletin()
        self._backoff = Backoff(settings.backoff_base, settings.backoff_cap)
        self._open: dict[str, str] = {}  # instructions that were passed on and have no final answer: id to action
        self._unanswered: set[str] = set()  # those of them that have no answer at all: they fill the window
        self._to_write = asyncio.Event()
        self._reported: Cause | None = None
        self._welcomed_at: float | None = None

    @property
    def position(self) -> Position:
        """Up to where everything was received."""
        return self._tracker.resume

    @property
    def connected(self) -> bool:
        """Whether a planner has welcomed us on the connection that stands."""
        return self._welcomed_at is not None

    @property
    def unconfirmed(self) -> int:
        """How many acknowledgements the planner may not have yet."""
        return len(self._outbox)

    def ack(self, ack: Ack) -> None:
        """Say what became of an instruction; never blocks, and is repeated until the planner has it.

        Args:
            ack: with the position of the instruction as it was received last. One of an older epoch is dropped: the
                newer epoch has the instruction again, with a deadline of its own.
        """
        action = self._open.get(ack.instruction_id, "other")
        INSTRUCTIONS.labels(action, ack.outcome.value).inc()
        self._unanswered.discard(ack.instruction_id)
        if ack.outcome.final:
            self._open.pop(ack.instruction_id, None)
        if ack.position.epoch < self._tracker.epoch and ack.reason is not ReasonCode.STALE_EPOCH:
            fields = {"instruction": ack.instruction_id, "outcome": ack.outcome.value, "epoch": ack.position.epoch}
            logger.debug("acknowledgement of an older epoch dropped", extra=fields)
        else:
            self._outbox.add(ack)
        self._to_write.set()

    def report(self, report: NodeReport) -> None:
        """Say how it stands with a node; never blocks, and is said again on each new connection."""
        self._bulletin.put(report)
        self._to_write.set()

    def serves(self, webhook: Webhook) -> None:
        """Say whether pods are pinned while they are created; likewise."""
        self._bulletin.serves(webhook)
        self._to_write.set()

    async def messages(self) -> AsyncGenerator[Received, None]:
        """Instructions and ends of snapshots, for ever; use it inside ``contextlib.aclosing``.

        Instructions that can be judged without the cluster (unreadable, too large, unknown fields, invalid names or
        quantities, stale epochs) are refused here and do not appear. The same instruction may appear again.
        """
        if self._settings.endpoint.speaks_another_protocol:
            await self._never()
        while True:
            shown = await self._credentials()
            try:
                async with aclosing(self._session(shown)) as session:
                    async for received in session:
                        yield received
            except StreamBroken as broken:
                await self._pause(broken)
            finally:
                self._welcomed_at = None
                CONNECTED.set(0)

    # --- one connection ---

    async def _credentials(self) -> Credentials:
        """What the next connection shows and believes; while something is missing nobody is connected to."""
        endpoint, said = self._settings.endpoint, ""
        while True:
            try:
                found = read_credentials(endpoint)
            except Lacking as lacking:
                if said != str(lacking):
                    said = str(lacking)
                    fields = {"planner": str(endpoint.address), "error": said}
                    logger.warning("not connected to the planner, credentials are missing", extra=fields)
                    self._tell(Cause.CREDENTIALS, said)
                await asyncio.sleep(self._settings.look_again)
            else:
                if said:
                    logger.info("credentials are there, connecting", extra={"planner": str(endpoint.address)})
                return found

    async def _session(self, shown: Credentials) -> AsyncGenerator[Received, None]:
        self._outbox.reconnect()
        self._bulletin.reconnect()
        connection = Connection(self._settings.endpoint, shown)
        writer = asyncio.create_task(self._write(connection), name="pinning stream writer")
        writer.add_done_callback(lambda _: connection.cancel())  # whoever reads learns why
        try:
            while True:
                try:
                    message = await connection.read(self._patience())
                except ProtocolError as error:
                    self._refuse_unreadable(error)
                    continue
                received = self._receive(message)
                if received is not None:
                    yield received
        finally:
            writer.cancel()
            await asyncio.wait({writer})
            await connection.close()
            fault = None if writer.cancelled() else writer.exception()
            if fault is not None and not isinstance(fault, StreamBroken):
                raise fault

    def _patience(self) -> float:
        return self._settings.silence if self.connected else self._settings.connect_timeout

    async def _write(self, connection: Connection) -> None:
        """Send the Hello, then acknowledgements and reports as they come, until the connection ends."""
        settings = self._settings
        hello = Hello(
            settings.cluster_id, settings.replica, settings.version, self._tracker.resume, window=settings.window
        )
        await connection.write(hello)
        while True:
            self._to_write.clear()  # before we look: an answer may come while a report is written
            while acks := self._outbox.take():
                await connection.write(Acks(acks))
            while (reports := self._bulletin.take()) is not None:
                await connection.write(reports)
            await self._to_write.wait()

    def _receive(self, message: ServerMessage | None) -> Received | None:
        """Take note of a message; what is for our caller is returned."""
        if not self.connected and not isinstance(message, Welcome):
            raise StreamBroken(Cause.MALFORMED, "the planner did not begin with a Welcome")
        match message:
            case Welcome():
                self._welcome(message)
            case Instruction():
                return self._instruction(message)
            case SnapshotEnd():
                self._follow(self._tracker.snapshot_end(message), f"snapshot incomplete at {message.position}")
                return message
            case Heartbeat():
                self._outbox.confirm(message.acknowledged)
                self._follow(self._tracker.high_water(message.position), f"missing up to {message.position}")
        return None

    def _welcome(self, welcome: Welcome) -> None:
        newer = welcome.position.epoch > self._tracker.epoch
        self._follow(self._tracker.welcome(welcome), f"welcome to {welcome.position}")
        if newer:
            self._outbox.forget(welcome.position.epoch)
            self._open.clear()
            self._unanswered.clear()
        if not self.connected:
            self._welcomed_at = asyncio.get_running_loop().time()
        CONNECTED.set(1)
        fields = {
            "planner": str(self._settings.endpoint.address),
            "plan": welcome.plan,
            "epoch": welcome.position.epoch,
            "sequence": welcome.position.sequence,
            "snapshot": welcome.snapshot,
        }
        logger.info("planner has welcomed us", extra=fields)

    def _instruction(self, instruction: Instruction) -> Instruction | None:
        window = self._settings.window
        if len(self._unanswered) >= FLOOD * window:
            raise StreamBroken(Cause.FLOOD, f"{FLOOD * window} instructions wait for an answer, the window is {window}")
        arrival = self._tracker.instruction(instruction.position)
        if arrival is Arrival.STALE:
            sentence = f"epoch {instruction.position.epoch} was replaced by {self._tracker.epoch}"
            self._refuse(instruction, ReasonCode.STALE_EPOCH, sentence)
            return None
        if arrival is Arrival.REPEATED:
            return self._repeated(instruction)
        self._follow(arrival, f"expected the instruction after {self._tracker.resume}, got {instruction.position}")
        problem = next(validate.problems(instruction.action), None)
        if problem is not None:
            self._refuse(instruction, problem.reason, str(problem))
            return None
        return self._pass_on(instruction)

    def _repeated(self, instruction: Instruction) -> Instruction | None:
        """Answer a repetition with what is recorded; without a record whoever handles instructions knows."""
        recorded = self._outbox.recorded(instruction.id)
        if recorded is not None and recorded.position == instruction.position:
            self._outbox.add(recorded)
            self._to_write.set()
            return None
        return None if instruction.id in self._open else self._pass_on(instruction)

    def _pass_on(self, instruction: Instruction) -> Instruction:
        self._open[instruction.id] = _ACTIONS[type(instruction.action)]
        self._unanswered.add(instruction.id)
        return instruction

    def _refuse(self, instruction: Instruction, reason: ReasonCode, sentence: str) -> None:
        self._open[instruction.id] = _ACTIONS[type(instruction.action)]
        fields = {"instruction": instruction.id, "node": instruction.node, "reason": reason.name, "error": sentence}
        logger.warning("instruction refused", extra=fields)
        self.ack(Ack(instruction.id, instruction.position, Outcome.REJECTED, reason, sentence))

    def _refuse_unreadable(self, error: ProtocolError) -> None:
        """An instruction that cannot be carried out because it cannot be read; those after it can."""
        if not self.connected:
            raise StreamBroken(Cause.MALFORMED, "the planner did not begin with a Welcome")
        arrival = self._tracker.instruction(error.position)
        if arrival is Arrival.GAP:
            raise StreamBroken(Cause.GAP, f"unreadable instruction at {error.position}: {error}")
        reason = ReasonCode.STALE_EPOCH if arrival is Arrival.STALE else error.reason
        fields = {"instruction": error.instruction_id, "reason": reason.name, "error": str(error)}
        logger.warning("instruction refused", extra=fields)
        self.ack(Ack(error.instruction_id, error.position, Outcome.REJECTED, reason, str(error)))

    def _follow(self, arrival: Arrival, text: str) -> None:
        if arrival is Arrival.GAP:
            raise StreamBroken(Cause.GAP, text)
        if arrival is Arrival.STALE:
            raise StreamBroken(Cause.STALE, f"{text}, and epoch {self._tracker.epoch} was served before")

    # --- between connections ---

    async def _pause(self, broken: StreamBroken) -> None:
        """Report the end of a connection and wait before the next one."""
        RESETS.labels(broken.cause.value).inc()
        now = asyncio.get_running_loop().time()
        if self._welcomed_at is not None and now - self._welcomed_at >= STEADY_AFTER:
            self._backoff.reset()
            self._reported = None
        delay = self._backoff.next()
        # Everyday life (a planner restarts, a proxy cuts) is no news; what lasts, or waiting cannot mend, is: once.
        lasting = broken.cause.wants_a_person or self._backoff.failures >= LASTING_AFTER
        news = lasting and broken.cause is not self._reported
        fields = {
            "planner": str(self._settings.endpoint.address),
            "cause": broken.cause.value,
            "error": str(broken),
            "delay_s": round(delay, 2),
        }
        logger.log(logging.WARNING if news else logging.INFO, RESET, extra=fields)
        if news:
            self._reported = broken.cause
            self._tell(broken.cause, str(broken))
        await asyncio.sleep(delay)

    def _tell(self, cause: Cause, sentence: str) -> None:
        if self._on_problem is not None:
            self._on_problem(cause, sentence)

    async def _never(self) -> None:
        """Say once that there is nobody to talk to, and wait for other settings; the scheduler does our work."""
        address = str(self._settings.endpoint.address)
        sentence = (
            f"{address} is Cast AI's service, which speaks another protocol. Neither a connection is made nor the key "
            "sent. Set the address of a moorage planner"
        )
        logger.error("planner address speaks another protocol, no connection is made", extra={"planner": address})
        self._tell(Cause.OTHER_PROTOCOL, sentence)
        await asyncio.Event().wait()
