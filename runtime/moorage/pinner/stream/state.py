"""What a stream has to remember: where it stands, and which acknowledgements the server may not have. No I/O."""

from __future__ import annotations

import enum
from collections import OrderedDict, deque

from moorage.protocol import Ack, NodeReport, NodeReports, NodeState, Position, SnapshotEnd, Webhook, Welcome

RECORDED = 4096
"""Last acknowledgements that are kept for repetitions; an older one makes a repetition count as new."""

TOGETHER = 64
"""Acknowledgements and pods of them after which no more go into a message: a server takes 4 MiB of the longest ones.
The same for reports and their slots."""


class Arrival(enum.Enum):
    """How the position of a message follows what arrived before."""

    NEW = "new"
    REPEATED = "repeated"
    STALE = "stale"
    GAP = "gap"


class Tracker:
    """Follows positions, so that nothing is missed and nothing of an older planner is obeyed.

    Args:
        position: up to where everything was received.
    """

    def __init__(self, position: Position) -> None:
        self.resume = position  # what the next Hello says: never the middle of a snapshot
        self._last = position
        self._epoch = position.epoch
        self._snapshot: int | None = None  # instructions of the snapshot so far; None when there is none

    @property
    def epoch(self) -> int:
        """The newest epoch that was ever welcomed."""
        return self._epoch

    def welcome(self, welcome: Welcome) -> Arrival:
        """Begin what the server announces; STALE or GAP when it cannot be followed."""
        epoch = welcome.position.epoch
        if epoch < self._epoch:
            return Arrival.STALE
        if not welcome.snapshot and welcome.position != self.resume:
            return Arrival.GAP
        self._epoch = epoch
        self._snapshot = 0 if welcome.snapshot else None
        self._last = Position(epoch, 0) if welcome.snapshot else self.resume
        return Arrival.NEW

    def instruction(self, position: Position) -> Arrival:
        """Judge an instruction and, when it is new, move on."""
        if position.epoch < self._epoch:
            return Arrival.STALE
        if position.epoch > self._epoch:
            return Arrival.GAP
        if position.sequence <= self._last.sequence:
            return Arrival.REPEATED
        if self._snapshot is not None:
            self._snapshot += 1
            self._last = position
            return Arrival.NEW
        if position.sequence != self._last.sequence + 1:
            return Arrival.GAP
        self._last = self.resume = position
        return Arrival.NEW

    def snapshot_end(self, end: SnapshotEnd) -> Arrival:
        """Finish a snapshot; GAP when it was not the one announced or instructions are missing."""
        complete = self._snapshot == end.instructions and end.position >= self._last
        if not complete or end.position.epoch != self._epoch:
            return Arrival.GAP
        self._snapshot = None
        self._last = self.resume = end.position
        return Arrival.NEW

    def high_water(self, position: Position) -> Arrival:
        """Judge a heartbeat: outside a snapshot the server cannot have issued what has not arrived."""
        if position.epoch == self._epoch and self._snapshot is None and position > self._last:
            return Arrival.GAP
        return Arrival.NEW


class Bulletin:
    """The newest report of each node, and what of them a connection has still to carry."""

    def __init__(self) -> None:
        self._latest: dict[str, NodeReport] = {}
        self._unsent: dict[str, NodeReport] = {}
        self._webhook, self._to_say = Webhook.UNSPECIFIED, False

    def put(self, report: NodeReport) -> None:
        """Say it, and say it again on each new connection until the node is gone."""
        self._unsent[report.node] = self._latest[report.node] = report
        if report.state is NodeState.GONE:
            del self._latest[report.node]

    def serves(self, webhook: Webhook) -> None:
        """Say whether pods are pinned while they are created."""
        self._to_say = self._to_say or webhook is not self._webhook
        self._webhook = webhook

    def take(self) -> NodeReports | None:
        """What to write next; None when there is nothing to say."""
        if not self._unsent and not self._to_say:
            return None
        self._to_say = False
        taken: list[NodeReport] = []
        size = 0
        for report in self._unsent.values():
            size += 1 + len(report.slots)
            if taken and size > TOGETHER:
                break
            taken.append(report)
        for report in taken:
            del self._unsent[report.node]
        return NodeReports(tuple(taken), self._webhook)

    def reconnect(self) -> None:
        """A new connection: the server has forgotten what it was told."""
        self._unsent = dict(self._latest)
        self._to_say = self._webhook is not Webhook.UNSPECIFIED


class Outbox:
    """Acknowledgements on their way: kept until the server has confirmed them, whatever happens to connections."""

    def __init__(self) -> None:
        self._pending: deque[Ack] = deque()
        self._sent: deque[Ack] = deque()
        self._confirmed = 0
        self._recorded: OrderedDict[str, Ack] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pending) + len(self._sent)

    def add(self, ack: Ack) -> None:
        """Send it, and record it for repetitions."""
        self._pending.append(ack)
        if ack.instruction_id:
            self._recorded[ack.instruction_id] = ack
            self._recorded.move_to_end(ack.instruction_id)
            if len(self._recorded) > RECORDED:
                self._recorded.popitem(last=False)

    def recorded(self, instruction_id: str) -> Ack | None:
        """The last acknowledgement of an instruction, or None."""
        return self._recorded.get(instruction_id)

    def take(self) -> tuple[Ack, ...]:
        """The next ones to write together, now counted as sent; empty when there are none."""
        taken: list[Ack] = []
        size = 0
        while self._pending and size < TOGETHER:
            size += 1 + len(self._pending[0].pods)
            taken.append(self._pending.popleft())
        self._sent.extend(taken)
        return tuple(taken)

    def confirm(self, count: int) -> None:
        """The server has this many of those sent on this connection."""
        while self._confirmed < count and self._sent:
            self._sent.popleft()
            self._confirmed += 1

    def reconnect(self) -> None:
        """A new connection: what was sent and not confirmed goes again, of each instruction only the last word."""
        last = {(ack.instruction_id, ack.position): ack for ack in (*self._sent, *self._pending)}
        self._pending = deque(last.values())
        self._sent.clear()
        self._confirmed = 0

    def forget(self, epoch: int) -> None:
        """Drop what belongs to older epochs: their instructions are replaced and are sent again."""
        self._pending = deque(ack for ack in self._pending if ack.position.epoch >= epoch)
        # Not those under way: the server counts them.
        self._recorded = OrderedDict((i, ack) for i, ack in self._recorded.items() if ack.position.epoch >= epoch)
